require("./shim.js").withPackages("logs", "validate");
