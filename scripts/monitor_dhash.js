require("./shim.js")("monitor");
