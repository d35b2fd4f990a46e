require("./shim.js").withPackages("monitor");
