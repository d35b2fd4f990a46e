require("./shim.js")("notify");
