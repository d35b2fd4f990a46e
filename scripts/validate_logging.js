require("./shim.js")("logs", "validate");
