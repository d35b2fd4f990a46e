// `rollout WORDS`. There is no logic in these files.
const { spawnSync } = require("node:child_process");
const { join } = require("node:path");

const root = join(__dirname, "..");
const own = [join(root, ".venv/bin/python"), join(root, ".venv/Scripts/python.exe")];
const pythons = [process.env.PYTHON, ...own, "python3", "python3.13", "python3.12", "python3.11", "python"];
const test = "import sys; sys.exit(sys.version_info < (3, 11))";

// Notices need no package, so this works before the set-up, on the Python that is there: the
// project's own, or any python3 of 3.11 or newer.
module.exports = (...words) => {
  const python = pythons.find((each) => each && spawnSync(each, ["-I", "-c", test]).status === 0);
  if (!python) missing("Python 3.11 or newer is missing", "on Debian or Ubuntu: apt-get install python3");
  end(python, "-I", join(root, "src", "guarded_rollout"), ...words);
};

// All else needs packages: the way of the .sh files, which set up what is missing.
module.exports.withPackages = (...words) => end("bash", join(__dirname, "rollout.sh"), ...words);

function end(program, ...words) {
  const done = spawnSync(program, [...words, ...process.argv.slice(2)], { stdio: "inherit" });
  if (done.error) missing(`${program} cannot be started: ${done.error.message}`, "install it, then run this again");
  process.exit(done.status ?? 1);
}

function missing(what, hint) {
  console.error(`rollout: ${what}\n  -> ${hint}`);
  process.exit(1);
}
