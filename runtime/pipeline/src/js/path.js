// Node's `path`, for POSIX.
(function (host, internal, builtin, module) {
  "use strict";

  const check = (path, name = "path") => {
    if (typeof path !== "string") {
      throw new TypeError(`The "${name}" argument must be of type string. Received ${path === null ? "null" : typeof path}`);
    }
    return path;
  };

  // Takes out `.`, `..` and empty parts; what climbs out of a relative path stays.
  function reduce(path, absolute) {
    const parts = [];
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
      else if (part !== ".." || !absolute) parts.push(part);
    }
    return parts.join("/");
  }

  const path = {
    sep: "/",
    delimiter: ":",
    normalize(value) {
      if (check(value) === "") return ".";
      const absolute = value.startsWith("/");
      let text = reduce(value, absolute);
      if (text === "" && !absolute) text = ".";
      if (text !== "" && value.endsWith("/")) text += "/";
      return absolute ? `/${text}` : text;
    },
    join(...parts) {
      const joined = parts.map((part) => check(part)).filter((part) => part !== "").join("/");
      return joined === "" ? "." : path.normalize(joined);
    },
    resolve(...parts) {
      let resolved = "";
      for (const part of parts.reverse()) {
        if (check(part) === "") continue;
        resolved = resolved === "" ? part : `${part}/${resolved}`;
        if (part.startsWith("/")) break;
      }
      if (!resolved.startsWith("/")) resolved = `${globalThis.process.cwd()}/${resolved}`;
      return `/${reduce(resolved, true)}`;
    },
    isAbsolute: (value) => check(value).startsWith("/"),
    dirname(value) {
      const trimmed = check(value).replace(/(?<=.)\/+$/, "");
      const slash = trimmed.lastIndexOf("/");
      if (slash < 0) return ".";
      return slash === 0 ? "/" : trimmed.slice(0, slash);
    },
    basename(value, suffix) {
      const trimmed = check(value).replace(/\/+$/, "");
      const base = trimmed.slice(trimmed.lastIndexOf("/") + 1);
      return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
    },
    extname(value) {
      const base = path.basename(value);
      const dot = base.lastIndexOf(".");
      return dot <= 0 || base === ".." ? "" : base.slice(dot);
    },
    parse(value) {
      const root = check(value).startsWith("/") ? "/" : "";
      const base = path.basename(value);
      const ext = path.extname(value);
      const slash = value.replace(/(?<=.)\/+$/, "").lastIndexOf("/");
      const dir = slash < 0 ? "" : slash === 0 ? "/" : value.slice(0, slash);
      return { root, dir, base, ext, name: ext ? base.slice(0, -ext.length) : base };
    },
    format(parts) {
      const base = parts.base || `${parts.name || ""}${parts.ext || ""}`;
      const dir = parts.dir || parts.root;
      if (!dir) return base;
      return dir === parts.root ? `${dir}${base}` : `${dir}/${base}`;
    },
    relative(from, to) {
      const start = path.resolve(from).split("/").filter(Boolean);
      const end = path.resolve(to).split("/").filter(Boolean);
      let same = 0;
      while (same < start.length && same < end.length && start[same] === end[same]) same += 1;
      return [...start.slice(same).map(() => ".."), ...end.slice(same)].join("/");
    },
    toNamespacedPath: (value) => value,
  };
  path.posix = path;
  module.exports = path;
});
