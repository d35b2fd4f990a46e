require("../shim.js")("notify-deploy");
