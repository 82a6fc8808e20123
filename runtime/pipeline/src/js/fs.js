// Node's `fs`, to read: the repository, and the packages of the build.
(function (host, internal, builtin, module) {
  "use strict";

  const pathOf = (path) => {
    if (path instanceof URL) return builtin("url").fileURLToPath(path);
    if (typeof path === "string") return path;
    if (builtin("buffer").Buffer.isBuffer(path)) return path.toString();
    const error = new TypeError(`The "path" argument must be of type string or an instance of Buffer or URL. Received ${path === null ? "null" : typeof path}`);
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  };
  // Errors as Node's, with the call and the path.
  const guarded = (syscall, path, action) => {
    try {
      return action();
    } catch (error) {
      if (error.code && error.syscall === undefined) {
        error.errno = { ENOENT: -2, EIO: -5, EACCES: -13, ENOTDIR: -20, EISDIR: -21, EFBIG: -27 }[error.code];
        error.syscall = syscall;
        error.path = path;
      }
      throw error;
    }
  };

  class Stats {
    constructor({ kind, size, modified, mode }) {
      Object.defineProperty(this, "kind", { value: kind });
      this.size = size;
      this.mode = mode;
      this.mtimeMs = modified;
      this.mtime = new Date(modified);
      this.atime = this.ctime = this.birthtime = this.mtime;
      this.atimeMs = this.ctimeMs = this.birthtimeMs = modified;
    }
    isFile() {
      return this.kind === "file";
    }
    isDirectory() {
      return this.kind === "directory";
    }
  }
  for (const name of ["isSymbolicLink", "isFIFO", "isSocket", "isBlockDevice", "isCharacterDevice"]) {
    Stats.prototype[name] = () => false;
  }

  class Dirent {
    constructor(name, parentPath, directory) {
      this.name = name;
      this.parentPath = this.path = parentPath;
      Object.defineProperty(this, "directory", { value: directory });
    }
    isFile() {
      return !this.directory;
    }
    isDirectory() {
      return this.directory;
    }
    isSymbolicLink() {
      return false;
    }
  }

  function list(path, options) {
    const { withFileTypes, recursive } = typeof options === "object" && options ? options : {};
    const join = builtin("path").join;
    const found = [];
    const walk = (folder, prefix) => {
      for (const [name, directory] of guarded("scandir", path, () => JSON.parse(host.list(folder)))) {
        found.push(withFileTypes ? new Dirent(name, folder, directory) : prefix + name);
        if (recursive && directory) walk(join(folder, name), `${prefix}${name}/`);
      }
    };
    walk(path, "");
    return found;
  }

  const fs = {
    readFileSync(path, options) {
      const name = pathOf(path);
      const bytes = builtin("buffer").Buffer.from(guarded("open", name, () => host.file(name)));
      const encoding = typeof options === "string" ? options : options?.encoding;
      return encoding ? bytes.toString(encoding) : bytes;
    },
    existsSync(path) {
      try {
        return host.kind(pathOf(path)) !== "";
      } catch {
        return false;
      }
    },
    readdirSync: (path, options) => list(pathOf(path), options),
    statSync(path, options) {
      const name = pathOf(path);
      try {
        return new Stats(JSON.parse(guarded("stat", name, () => host.status(name))));
      } catch (error) {
        if (options?.throwIfNoEntry === false && error.code === "ENOENT") return undefined;
        throw error;
      }
    },
    accessSync(path, mode) {
      const name = pathOf(path);
      guarded("access", name, () => host.status(name));
      if (mode & 2) {
        const error = new Error(`EROFS: read-only file system, access '${name}'`);
        throw Object.assign(error, { code: "EROFS", errno: -30, syscall: "access", path: name });
      }
    },
    realpathSync(path) {
      const name = pathOf(path);
      guarded("realpath", name, () => host.status(name));
      return builtin("path").resolve(name);
    },
    Stats,
    Dirent,
    constants: { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 },
  };
  fs.lstatSync = fs.statSync;
  fs.realpathSync.native = fs.realpathSync;
  const readers = ["readFile", "readdir", "stat", "lstat", "access", "realpath"];
  fs.promises = { constants: fs.constants };
  for (const name of readers) {
    const action = fs[`${name}Sync`];
    fs.promises[name] = async (...args) => action(...args);
    fs[name] = (...args) => {
      const callback = args.pop();
      if (typeof callback !== "function") {
        throw new TypeError(`The "cb" argument must be of type function. Received ${callback === null ? "null" : typeof callback}`);
      }
      fs.promises[name](...args).then((value) => callback(null, value), callback);
    };
  }
  fs.exists = (path, callback) => queueMicrotask(() => callback(fs.existsSync(path)));
  const writers = [
    "writeFile", "appendFile", "mkdir", "mkdtemp", "unlink", "rm", "rmdir", "rename", "copyFile", "cp", "chmod", "chown",
    "link", "symlink", "truncate", "utimes", "open",
  ];
  for (const name of writers) {
    const refuse = () => {
      const error = new Error(`fs.${name} is not there: a script reads the repository, and writes nothing. Write in a job.`);
      error.code = "EROFS";
      throw error;
    };
    fs[`${name}Sync`] = refuse;
    fs[name] = (...args) => {
      const callback = args.at(-1);
      try {
        refuse();
      } catch (error) {
        if (typeof callback !== "function") throw error;
        queueMicrotask(() => callback(error));
      }
    };
    fs.promises[name] = async () => refuse();
  }
  for (const name of ["createReadStream", "createWriteStream", "watch", "watchFile"]) {
    fs[name] = () => {
      throw new Error(`fs.${name} is not there: a script has no streams. Read with fs.readFile, write in a job.`);
    };
  }
  module.exports = fs;
});
