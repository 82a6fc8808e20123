// The modules of a script: what is built in, `require`, and what ES modules are told.
(function (host, internal, own) {
  "use strict";

  const aliases = {
    brigade: "brigadier",
    "@brigadecore/brigadier": "brigadier",
    "path/posix": "path",
    "assert/strict": "assert",
  };
  const names = host.builtins;
  const network = "a script has no network: run what needs one in a job";
  const processes = "a script starts no processes: run the command in a job";
  const threads = "a script is one thread: run what takes long in a job";
  // What Node has and this has not, and why.
  const absent = {
    child_process: processes, cluster: processes, dgram: network, diagnostics_channel: "", dns: network,
    "dns/promises": network, domain: "", http: network, http2: network, https: network, inspector: "",
    net: network, readline: "nobody types anything for a script", "readline/promises": "nobody types anything for a script",
    repl: "nobody types anything for a script", stream: "", "stream/promises": "", "stream/web": "", test: "", tls: network,
    trace_events: "", v8: "the engine is not V8", vm: "", wasi: "", worker_threads: threads, zlib: "",
  };
  const loaded = new Map();

  // The value of a built-in module.
  function builtin(name) {
    const known = loaded.get(name);
    if (known) return known.exports;
    const module = { exports: {} };
    loaded.set(name, module);
    const ours = own(name);
    if (ours) module.exports = ours;
    else if (name === "module") module.exports = nodeModule();
    else host.builtin(name)(host, internal, builtin, module);
    return module.exports;
  }

  function canonical(name) {
    const plain = name.startsWith("node:") ? name.slice(5) : name;
    if (!names.includes(plain)) return undefined;
    return Object.hasOwn(aliases, plain) ? aliases[plain] : plain;
  }

  // The name of a built-in module; nothing where it is none. What Node alone has is refused.
  function known(name) {
    if (typeof name !== "string" || name === "") throw new TypeError("require takes the name of a module");
    const found = canonical(name);
    if (found) return found;
    const plain = name.startsWith("node:") ? name.slice(5) : name;
    if (Object.hasOwn(absent, plain)) throw missing(name, absent[plain]);
    if (name.startsWith("node:")) throw missing(name);
    return undefined;
  }

  const isPath = (name) => /^(\.\.?(\/|$)|\/|file:|#)/.test(name);

  function missing(name, reason) {
    const list = [...names].sort().join(", ");
    const files = host.workspace
      ? "files of the repository by a path that starts with ./ or ../, the packages of its node_modules, and those of brigade.json"
      : "the packages of brigade.json, and no files, because this build has no checked out repository";
    const why = reason ? `, because ${reason}` : "";
    const error = new Error(`Cannot find module '${name}'${why}. There are: ${list}; ${files}`);
    error.code = "MODULE_NOT_FOUND";
    return error;
  }

  // The path of the file that a name stands for.
  function resolve(base, name, imports) {
    try {
      return host.resolve(base, name, imports);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
      const known = isPath(name) ? host.workspace : error.message.includes("(in ");
      if (known) throw error;
      throw missing(name);
    }
  }

  const cache = Object.create(null); // path -> module, as `require.cache` shows it
  const absolute = (path) => `${host.root}/${path}`;

  function Module(id, path) {
    this.id = id;
    this.path = path.slice(0, path.lastIndexOf("/")) || "/";
    this.exports = {};
    this.filename = path;
    this.loaded = false;
    this.children = [];
    this.paths = [];
  }

  function requireFrom(base, main) {
    const require = function (name) {
      const found = known(name);
      return found ? builtin(found) : load(resolve(base, name, false), main).exports;
    };
    require.resolve = (name) => known(name) ?? absolute(resolve(base, name, false));
    require.cache = cache;
    require.main = main;
    require.extensions = Object.assign(Object.create(null), { ".js": undefined, ".json": undefined });
    return require;
  }

  // Loads a file, once.
  function load(path, main) {
    const name = absolute(path);
    const before = cache[name];
    if (before) return before;
    const { kind, text, run } = host.load(path);
    const module = new Module(name, name);
    if (kind === "module") {
      module.exports = host.namespace(path);
      module.loaded = true;
      return (cache[name] = module);
    }
    cache[name] = module;
    try {
      if (kind === "json") module.exports = json(path, text);
      else evaluate(module, path, run, main);
    } catch (error) {
      delete cache[name];
      throw error;
    }
    module.loaded = true;
    return module;
  }

  function json(path, text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new SyntaxError(`${path} is no JSON: ${error.message}`);
    }
  }

  function evaluate(module, path, run, main) {
    const require = requireFrom(path, main);
    module.require = require;
    run.call(module.exports, module.exports, require, module, module.filename, module.path);
  }

  // The script of a build, where it is no ES module.
  function main(path, text) {
    const module = new Module(".", absolute(path));
    cache[module.filename] = module;
    evaluate(module, path, host.compile(path, text), module);
    module.loaded = true;
  }

  function nodeModule() {
    const createRequire = (from) => {
      const path = host.relative(from instanceof URL || String(from).startsWith("file:") ? builtin("url").fileURLToPath(from) : String(from));
      if (typeof path !== "string") throw new TypeError(`createRequire takes a file of the repository, which ${from} is not`);
      return requireFrom(path);
    };
    Module.createRequire = createRequire;
    Module.builtinModules = names.filter((name) => !/brigad/.test(name));
    Module.isBuiltin = (name) => canonical(String(name)) !== undefined;
    Module._cache = cache;
    Module.Module = Module;
    return Module;
  }

  return {
    builtin,
    canonical,
    actions: {
      main,
      load: (path) => load(path).exports,
      resolve,
      builtin: (name) => known(name) ?? null,
      member: (name) => builtin(name),
      // The names under which a built-in module exports its members.
      members: (name) =>
        internal.stringify(
          Object.getOwnPropertyNames(builtin(name)).filter(
            (key) => !["default", "length", "name", "prototype"].includes(key) && /^[A-Za-z_$][\w$]*$/.test(key),
          ),
        ),
      url: (path) => builtin("url").pathToFileURL(path).href,
      metaResolve: (base, name) => {
        const found = known(name);
        return found ? `node:${found}` : builtin("url").pathToFileURL(absolute(resolve(base, name, true))).href;
      },
    },
  };
});
