// `rollout WORDS` on the Python that is there: the project's own, or any python3 of 3.11 or newer.
// Notices need no package, so this works before the set-up. There is no logic in these files.
const { spawnSync } = require("node:child_process");
const { join } = require("node:path");

const root = join(__dirname, "..");
const own = [join(root, ".venv/bin/python"), join(root, ".venv/Scripts/python.exe")];
const pythons = [process.env.PYTHON, ...own, "python3", "python3.13", "python3.12", "python3.11", "python"];
const test = "import sys; sys.exit(sys.version_info < (3, 11))";

module.exports = (...words) => {
  const python = pythons.find((each) => each && spawnSync(each, ["-I", "-c", test]).status === 0);
  if (!python) {
    console.error("rollout: Python 3.11 or newer is missing\n  -> on Debian or Ubuntu: apt-get install python3");
    process.exit(1);
  }
  const source = join(root, "src", "guarded_rollout");
  const done = spawnSync(python, ["-I", source, ...words, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exit(done.status ?? 1);
};
