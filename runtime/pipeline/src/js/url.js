// `URL` and `URLSearchParams`, for the schemes that pipeline scripts meet.
(function (host, internal, builtin, module) {
  "use strict";

  const ports = { "http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21", "file:": "" };
  const special = (protocol) => Object.hasOwn(ports, protocol);
  const utf8 = (text) => host.encode(internal.wellFormed(text), "utf8");

  // Escapes what `keep` does not match; what is escaped already stays so.
  const escape = (text, keep) => {
    let escaped = "";
    for (const letter of text) {
      if (keep.test(letter)) escaped += letter;
      else for (const byte of utf8(letter)) escaped += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    }
    return escaped;
  };
  const inPath = /[!$&'()*+,\-./0-9:;=@A-Z_a-z~%[\]\\^|]/;
  const inQuery = /[!$&()*+,\-./0-9:;=?@A-Z_a-z~%[\]\\^`{|}]/;
  const inHash = /[!#$%&'()*+,\-./0-9:;=?@A-Z[\]\\^_a-z{|}~]/;
  const inUser = /[!$&'()*+,\-.0-9A-Z_a-z~%]/;
  const inForm = /[*\-.0-9A-Z_a-z]/;

  const formEncode = (text) => escape(text.replaceAll(" ", "\u0000"), inForm).replaceAll("%00", "+");
  const formDecode = (text) => {
    const bytes = [];
    const source = utf8(text.replaceAll("+", " "));
    for (let index = 0; index < source.length; index += 1) {
      const code = source[index] === 37 ? String.fromCharCode(source[index + 1], source[index + 2]) : "";
      if (/^[0-9a-fA-F]{2}$/.test(code)) {
        bytes.push(Number.parseInt(code, 16));
        index += 2;
      } else bytes.push(source[index]);
    }
    return host.decode(internal.binary(Uint8Array.from(bytes)), "utf8");
  };

  class URLSearchParams {
    #pairs = [];
    #changed = () => {};

    constructor(init = "", changed) {
      if (changed) this.#changed = changed;
      if (typeof init === "string") {
        for (const part of init.replace(/^\?/, "").split("&")) {
          if (part === "") continue;
          const equals = part.indexOf("=");
          const [key, value] = equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
          this.#pairs.push([formDecode(key), formDecode(value)]);
        }
      } else if (init && typeof init[Symbol.iterator] === "function") {
        for (const [key, value] of init) this.#pairs.push([String(key), String(value)]);
      } else {
        for (const [key, value] of Object.entries(init ?? {})) this.#pairs.push([key, String(value)]);
      }
    }
    get size() {
      return this.#pairs.length;
    }
    get(name) {
      return this.#pairs.find(([key]) => key === `${name}`)?.[1] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter(([key]) => key === `${name}`).map(([, value]) => value);
    }
    has(name) {
      return this.#pairs.some(([key]) => key === `${name}`);
    }
    append(name, value) {
      this.#pairs.push([`${name}`, `${value}`]);
      this.#changed();
    }
    set(name, value) {
      const index = this.#pairs.findIndex(([key]) => key === `${name}`);
      if (index < 0) this.#pairs.push([`${name}`, `${value}`]);
      else {
        this.#pairs[index][1] = `${value}`;
        this.#pairs = this.#pairs.filter(([key], at) => at <= index || key !== `${name}`);
      }
      this.#changed();
    }
    delete(name) {
      this.#pairs = this.#pairs.filter(([key]) => key !== `${name}`);
      this.#changed();
    }
    sort() {
      this.#pairs.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
      this.#changed();
    }
    forEach(callback, self) {
      for (const [key, value] of this.#pairs) callback.call(self, value, key, this);
    }
    keys() {
      return this.#pairs.map(([key]) => key).values();
    }
    values() {
      return this.#pairs.map(([, value]) => value).values();
    }
    entries() {
      return this.#pairs.map(([key, value]) => [key, value]).values();
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return this.#pairs.map(([key, value]) => `${formEncode(key)}=${formEncode(value)}`).join("&");
    }
    [Symbol.for("nodejs.util.inspect.custom")](depth, options, inspect) {
      const pairs = this.#pairs.map(([key, value]) => `${inspect(key)} => ${inspect(value)}`);
      return pairs.length ? `URLSearchParams { ${pairs.join(", ")} }` : "URLSearchParams {}";
    }
  }

  const invalid = (input) => {
    const error = new TypeError("Invalid URL");
    error.code = "ERR_INVALID_URL";
    error.input = input;
    return error;
  };

  function hostOf(text, protocol, input) {
    if (text.startsWith("[")) {
      if (!/^\[[0-9a-fA-F:.]+\]$/.test(text)) throw invalid(input);
      return text.toLowerCase();
    }
    const name = special(protocol) ? decodeURIComponent(text).toLowerCase() : text;
    // eslint-disable-next-line no-control-regex
    if (/[\u0000-\u0020#/<>?@[\\\]^|%]/.test(name) || (special(protocol) && name === "" && protocol !== "file:")) throw invalid(input);
    return name;
  }

  function tidyPath(path, protocol) {
    if (!special(protocol)) return escape(path, inPath);
    const parts = [];
    const given = path.replaceAll("\\", "/").replace(/^\//, "").split("/");
    given.forEach((part, index) => {
      const plain = part.replace(/%2e/gi, ".");
      const last = index === given.length - 1;
      if (plain === "..") {
        parts.pop();
        if (last) parts.push("");
      } else if (plain === ".") {
        if (last) parts.push("");
      } else parts.push(escape(part, inPath));
    });
    return `/${parts.join("/")}`;
  }

  class URL {
    #protocol = "";
    #username = "";
    #password = "";
    #hostname = "";
    #port = "";
    #pathname = "";
    #search = "";
    #hash = "";
    #slashes = true;
    #params;

    constructor(input, base) {
      let text = `${input}`.trim();
      if (!/^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text)) {
        if (base === undefined) throw invalid(text);
        const from = base instanceof URL ? base : new URL(base);
        const authority = `${from.protocol}//${from.#credentials()}${from.host}`;
        if (text.startsWith("//")) text = `${from.protocol}${text}`;
        else if (text.startsWith("/")) text = `${authority}${text}`;
        else if (text.startsWith("?")) text = `${authority}${from.pathname}${text}`;
        else if (text.startsWith("#") || text === "") text = `${authority}${from.pathname}${from.search}${text}`;
        else text = `${authority}${from.pathname.replace(/[^/]*$/, "")}${text}`;
      }
      this.#parse(text);
    }

    #parse(text) {
      const [, scheme, rest] = /^([a-zA-Z][a-zA-Z0-9+.-]*:)([\s\S]*)$/.exec(text);
      this.#protocol = scheme.toLowerCase();
      const hash = rest.indexOf("#");
      const beforeHash = hash < 0 ? rest : rest.slice(0, hash);
      this.#hash = hash < 0 || hash === rest.length - 1 ? "" : escape(rest.slice(hash), inHash);
      const query = beforeHash.indexOf("?");
      let place = query < 0 ? beforeHash : beforeHash.slice(0, query);
      this.#search = query < 0 || query === beforeHash.length - 1 ? "" : escape(beforeHash.slice(query), inQuery);
      if (this.#protocol === "file:") place = place.startsWith("//") ? place : `//${place}`;
      else if (special(this.#protocol)) place = place.replaceAll("\\", "/").replace(/^\/*/, "//");
      if (!place.startsWith("//")) {
        this.#slashes = false;
        this.#pathname = escape(place, inPath);
        return;
      }
      const [, authority, path] = /^\/\/([^/]*)([\s\S]*)$/.exec(place);
      const at = authority.lastIndexOf("@");
      if (at >= 0) {
        const user = authority.slice(0, at);
        const colon = user.indexOf(":");
        this.#username = escape(colon < 0 ? user : user.slice(0, colon), inUser);
        this.#password = colon < 0 ? "" : escape(user.slice(colon + 1), inUser);
      }
      const found = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/.exec(authority.slice(at + 1));
      if (!found) throw invalid(text);
      this.#hostname = hostOf(found[1], this.#protocol, text);
      this.port = found[2] ?? "";
      if (found[2] && Number(found[2]) > 65535) throw invalid(text);
      this.#pathname = tidyPath(path, this.#protocol);
    }

    #credentials() {
      if (this.#username === "" && this.#password === "") return "";
      return `${this.#username}${this.#password === "" ? "" : `:${this.#password}`}@`;
    }

    static canParse(input, base) {
      try {
        return Boolean(new URL(input, base));
      } catch {
        return false;
      }
    }

    get href() {
      const authority = this.#slashes ? `//${this.#credentials()}${this.host}` : "";
      return `${this.#protocol}${authority}${this.#pathname}${this.#search}${this.#hash}`;
    }
    set href(value) {
      const fresh = new URL(value);
      this.#protocol = fresh.#protocol;
      this.#username = fresh.#username;
      this.#password = fresh.#password;
      this.#hostname = fresh.#hostname;
      this.#port = fresh.#port;
      this.#pathname = fresh.#pathname;
      this.#hash = fresh.#hash;
      this.#slashes = fresh.#slashes;
      this.search = fresh.#search;
    }
    get origin() {
      return special(this.#protocol) && this.#protocol !== "file:" ? `${this.#protocol}//${this.host}` : "null";
    }
    get protocol() {
      return this.#protocol;
    }
    set protocol(value) {
      const scheme = `${value}`.replace(/:?$/, ":").toLowerCase();
      if (special(scheme) === special(this.#protocol)) this.#protocol = scheme;
    }
    get username() {
      return this.#username;
    }
    set username(value) {
      this.#username = escape(`${value}`, inUser);
    }
    get password() {
      return this.#password;
    }
    set password(value) {
      this.#password = escape(`${value}`, inUser);
    }
    get host() {
      return this.#port === "" ? this.#hostname : `${this.#hostname}:${this.#port}`;
    }
    set host(value) {
      const [, name, port] = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/.exec(`${value}`) ?? [];
      if (name === undefined) return;
      this.hostname = name;
      if (port !== undefined) this.port = port;
    }
    get hostname() {
      return this.#hostname;
    }
    set hostname(value) {
      this.#hostname = hostOf(`${value}`, this.#protocol, `${value}`);
    }
    get port() {
      return this.#port;
    }
    set port(value) {
      const text = `${value}`;
      if (!/^[0-9]*$/.test(text)) return;
      const port = text === "" ? "" : `${Number(text)}`;
      this.#port = port === ports[this.#protocol] ? "" : port;
    }
    get pathname() {
      return this.#pathname;
    }
    set pathname(value) {
      this.#pathname = tidyPath(`${value}`, this.#protocol);
    }
    get search() {
      return this.#search;
    }
    set search(value) {
      const text = `${value}`.replace(/^\?/, "");
      this.#search = text === "" ? "" : `?${escape(text, inQuery)}`;
      this.#params = undefined;
    }
    get hash() {
      return this.#hash;
    }
    set hash(value) {
      const text = `${value}`.replace(/^#/, "");
      this.#hash = text === "" ? "" : `#${escape(text, inHash)}`;
    }
    get searchParams() {
      this.#params ??= new URLSearchParams(this.#search, () => {
        const text = this.#params.toString();
        this.#search = text === "" ? "" : `?${text}`;
      });
      return this.#params;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
    [Symbol.for("nodejs.util.inspect.custom")](depth, options, inspect) {
      const { href, origin, protocol, username, password, host: place, hostname, port, pathname, search, searchParams, hash } = this;
      const shown = { href, origin, protocol, username, password, host: place, hostname, port, pathname, search, searchParams, hash };
      return `URL ${inspect(shown, options)}`;
    }
  }

  module.exports = {
    URL,
    URLSearchParams,
    parse(text) {
      try {
        const url = new URL(text);
        return {
          protocol: url.protocol, auth: url.username ? `${url.username}${url.password ? `:${url.password}` : ""}` : null,
          host: url.host, port: url.port || null, hostname: url.hostname, hash: url.hash || null,
          search: url.search || null, query: url.search.slice(1) || null, pathname: url.pathname,
          path: `${url.pathname}${url.search}`, href: url.href,
        };
      } catch {
        const [, pathname, search = "", hash = ""] = /^([^?#]*)(\?[^#]*)?(#.*)?$/.exec(text);
        return {
          protocol: null, auth: null, host: null, port: null, hostname: null, hash: hash || null,
          search: search || null, query: search.slice(1) || null, pathname: pathname || null,
          path: `${pathname}${search}` || null, href: text,
        };
      }
    },
    format: (url) => (typeof url === "string" ? url : (url.href ?? `${url.protocol}//${url.host ?? url.hostname}${url.pathname ?? ""}${url.search ?? ""}`)),
    resolve: (from, to) => new URL(to, from).href,
    fileURLToPath(url) {
      const { protocol, pathname } = new URL(url);
      if (protocol !== "file:") {
        throw Object.assign(new TypeError("The URL must be of scheme file"), { code: "ERR_INVALID_URL_SCHEME" });
      }
      return decodeURIComponent(pathname);
    },
    pathToFileURL: (path) =>
      new URL(`file://${builtin("path").resolve(path).replace(/[%\\\n\r\t?# ]/g, (letter) => encodeURIComponent(letter))}`),
  };
});
