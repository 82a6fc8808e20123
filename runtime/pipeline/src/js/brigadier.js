// The script API of Brigade 1.x: what `require("brigadier")` gives.
(function (host, internal, builtin, module) {
  "use strict";

  const EventEmitter = builtin("events");
  const { stringify, wellFormed } = internal;
  const then = Promise.prototype.then;

  const context = JSON.parse(host.context); // { event, project }
  const project = context.project;
  const firstEvent = context.event;
  let event = firstEvent; // whose revision the source of a job is taken at
  let jobProject = project;

  // --- events ---------------------------------------------------------------------------------

  class EventRegistry extends EventEmitter {
    constructor() {
      super();
      this.on("ping", ping);
    }
    has(name) {
      return this.listenerCount(name) > 0;
    }
    fire(e, p) {
      return this.emit(e.type, e, p);
    }
  }
  function ping() {
    builtin("console").log("ping");
  }
  const events = new EventRegistry();

  function fire(e, p) {
    event = e;
    jobProject = p;
    return events.fire(e, p);
  }

  class ErrorReport {
    constructor(cause, reason) {
      if (cause !== undefined) this.cause = cause;
      if (reason !== undefined) this.reason = reason;
    }
  }

  // --- results --------------------------------------------------------------------------------

  class Result {
    constructor(data) {
      this.data = data;
    }
    toString() {
      return this.data;
    }
  }

  // The promise of a running job. Only when somebody looks at it does anybody wait for the job.
  const watched = new WeakMap(); // promise -> function to call at the first look
  class Running extends Promise {
    static get [Symbol.species]() {
      return Promise;
    }
    then(fulfilled, failed) {
      const look = watched.get(this);
      if (look) {
        watched.delete(this);
        look();
      }
      return then.call(this, fulfilled, failed);
    }
  }

  function running(start, look) {
    const promise = new Running(start);
    if (look) watched.set(promise, look);
    return promise;
  }

  const jobs = new Map(); // id -> { resolve, reject }
  const logs = new Map(); // token -> { resolve, reject }
  let lastToken = 0;

  function settle(id, ok, text, details) {
    const job = jobs.get(id);
    if (!job) return;
    jobs.delete(id);
    const outcome = ok ? new Result(text) : new Error(text);
    for (const [key, detail] of Object.entries(JSON.parse(details))) {
      const value = key.endsWith("Time") ? new Date(detail) : detail;
      Object.defineProperty(outcome, key, { value, writable: true, configurable: true, enumerable: false });
    }
    if (ok) job.resolve(outcome);
    else job.reject(outcome);
  }

  // --- jobs -----------------------------------------------------------------------------------

  class JobCache {
    constructor() {
      this.enabled = false;
      this.size = "5Mi";
      this.path = "/mnt/brigade/cache";
    }
  }
  class JobStorage {
    constructor() {
      this.enabled = false;
      this.path = "/mnt/brigade/share";
    }
  }
  class JobDockerMount {
    constructor() {
      this.enabled = false;
    }
  }
  class JobHost {
    constructor() {
      this.nodeSelector = new Map();
    }
  }
  class JobResourceRequest {}
  class JobResourceLimit {}

  const longest = 36;
  const invalid =
    "job name must be lowercase letters, numbers, and '-', and must not start or end with '-', having max length " + longest;

  // As the regular expression /^(([a-z0-9][-a-z0-9.]*)?[a-z0-9])+$/ says, without its back-tracking.
  const nameIsValid = (name) =>
    typeof name === "string" && name.length <= longest && /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/.test(name);

  class Job {
    static MAX_JOB_NAME_LENGTH = longest;

    #podName = "";
    #id = undefined;

    constructor(name, image, tasks, imageForcePull = false) {
      if (!nameIsValid(name)) throw new Error(invalid);
      this.name = name.toLowerCase();
      this.shell = "/bin/sh";
      this.tasks = tasks || [];
      this.args = [];
      this.env = {};
      this.image = image || "";
      this.imageForcePull = imageForcePull;
      this.imagePullSecrets = [];
      this.mountPath = "/src";
      this.timeout = 900000;
      this.retries = 0;
      this.useSource = true;
      this.privileged = false;
      this.serviceAccount = undefined;
      this.resourceRequests = new JobResourceRequest();
      this.resourceLimits = new JobResourceLimit();
      this.host = new JobHost();
      this.cache = new JobCache();
      this.storage = new JobStorage();
      this.docker = new JobDockerMount();
      this.volumes = [];
      this.volumeMounts = [];
      this.annotations = {};
      this.streamLogs = false;
    }

    get podName() {
      return this.#podName;
    }

    run() {
      const id = host.run(stringify(describe(this)));
      this.#podName = host.pod(id);
      this.#id = id;
      return running(
        (resolve, reject) => jobs.set(id, { resolve, reject }),
        () => host.awaited(id),
      );
    }

    logs() {
      const id = this.#id;
      if (id === undefined) return Promise.reject(new Error(`job ${this.name} was not run yet, so it has no logs`));
      return new Promise((resolve, reject) => {
        const token = ++lastToken;
        logs.set(token, { resolve, reject });
        host.logs(id, token);
      });
    }
  }

  const text = (value) => wellFormed(value);
  const list = (job, key) => {
    const value = job[key];
    if (value === undefined || value === null) return [];
    if (typeof value === "string" || typeof value[Symbol.iterator] !== "function") {
      throw new TypeError(`${key} of job ${job.name} must be an array`);
    }
    return [...value];
  };
  const texts = (job, key) => list(job, key).map(text);
  const pairs = (value) => {
    if (value === undefined || value === null) return [];
    return value instanceof Map ? [...value] : Object.entries(value);
  };
  const record = (value) =>
    Object.fromEntries(pairs(value).filter(([, v]) => v !== undefined && v !== null).map(([k, v]) => [text(k), text(v)]));
  const optional = (value) => (value === undefined || value === null || value === "" ? undefined : text(value));
  const mount = (value, fallback) => (value === undefined || value === null || value === "" ? fallback : text(value));

  function variables(job) {
    const found = [];
    for (const [key, value] of pairs(job.env)) {
      switch (typeof value) {
        case "undefined":
          break; // as if it were not there
        case "string":
        case "number":
        case "boolean":
        case "bigint":
          found.push([text(key), text(value)]);
          break;
        case "object":
          found.push([text(key), value]);
          break;
        default:
          throw new TypeError(`env ${text(key)} of job ${job.name} is a ${typeof value}, not a value`);
      }
    }
    return found;
  }

  // A job as Rust reads it.
  function describe(job) {
    const milliseconds = Number(job.timeout);
    const host_ = job.host ?? {};
    const cache = job.cache ?? {};
    const storage = job.storage ?? {};
    return {
      name: text(job.name),
      image: text(job.image ?? ""),
      imageForcePull: Boolean(job.imageForcePull),
      imagePullSecrets: texts(job, "imagePullSecrets"),
      tasks: texts(job, "tasks"),
      args: texts(job, "args"),
      shell: text(job.shell || "/bin/sh"),
      env: variables(job),
      mountPath: mount(job.mountPath, "/src"),
      timeout: milliseconds > 0 && milliseconds <= Number.MAX_SAFE_INTEGER ? Math.ceil(milliseconds) : 0,
      retries: Math.min(Math.max(Math.trunc(Number(job.retries)) || 0, 0), 10),
      useSource: Boolean(job.useSource),
      privileged: Boolean(job.privileged),
      serviceAccount: optional(job.serviceAccount),
      resourceRequests: { cpu: optional(job.resourceRequests?.cpu), memory: optional(job.resourceRequests?.memory) },
      resourceLimits: { cpu: optional(job.resourceLimits?.cpu), memory: optional(job.resourceLimits?.memory) },
      host: { os: optional(host_.os), name: optional(host_.name), nodeSelector: record(host_.nodeSelector) },
      cache: { enabled: Boolean(cache.enabled), size: mount(cache.size, "5Mi"), path: mount(cache.path, "/mnt/brigade/cache") },
      storage: { enabled: Boolean(storage.enabled), path: mount(storage.path, "/mnt/brigade/share") },
      docker: { enabled: Boolean(job.docker?.enabled) },
      volumes: list(job, "volumes"),
      volumeMounts: list(job, "volumeMounts"),
      annotations: record(job.annotations),
      streamLogs: Boolean(job.streamLogs),
      occasion: occasion(),
    };
  }

  // What the event says about the source: a job that an `after` handler runs hears of that event.
  function occasion() {
    const e = event ?? {};
    return {
      type: text(e.type ?? ""),
      provider: text(e.provider ?? ""),
      cloneURL: optional(e.cloneURL),
      revision: { commit: text(e.revision?.commit ?? ""), ref: text(e.revision?.ref ?? "") },
    };
  }

  // --- groups ---------------------------------------------------------------------------------

  // Waits for a job without being somebody who looks at it.
  const observe = (promise, fulfilled, failed) => {
    if (promise instanceof Promise) then.call(promise, fulfilled, failed);
    else Promise.resolve(promise).then(fulfilled, failed);
  };

  class Group {
    static runAll(jobs) {
      const started = jobs.map((job) => job.run());
      const look = () => {
        for (const promise of started) if (watched.has(promise)) promise.then(undefined, () => {});
      };
      return running((resolve, reject) => {
        const results = new Array(started.length);
        let missing = started.length;
        if (missing === 0) resolve(results);
        started.forEach((promise, index) => {
          observe(
            promise,
            (result) => {
              results[index] = result;
              missing -= 1;
              if (missing === 0) resolve(results);
            },
            reject,
          );
        });
      }, look);
    }

    static runEach(jobs) {
      const queue = [...jobs];
      // Nobody has to wait for the last one.
      if (queue.length === 1) return Group.runAll(queue);
      return (async () => {
        const results = [];
        for (const job of queue) results.push(await job.run());
        return results;
      })();
    }

    constructor(jobs) {
      this.jobs = jobs || [];
    }
    add(...jobs) {
      this.jobs.push(...jobs);
    }
    length() {
      return this.jobs.length;
    }
    runAll() {
      return Group.runAll(this.jobs);
    }
    runEach() {
      return Group.runEach(this.jobs);
    }
  }

  module.exports = { events, fire, Job, Group, ErrorReport };

  // --- the life of a build ----------------------------------------------------------------------

  let failed = false;

  const cause = (type, extra) => ({
    buildID: firstEvent.buildID,
    workerID: firstEvent.workerID,
    type,
    provider: "brigade",
    revision: firstEvent.revision,
    logLevel: firstEvent.logLevel,
    cause: extra,
  });

  const top = (type) => (type === firstEvent.type ? firstEvent : { ...firstEvent, type });
  let last = firstEvent;

  Object.defineProperty(module.exports, Symbol.for("brigantine.app"), {
    configurable: true,
    enumerable: false,
    value: {
      settle,
      logs(token, ok, message) {
        const waiting = logs.get(token);
        if (!waiting) return;
        logs.delete(token);
        if (ok) waiting.resolve(message);
        else waiting.reject(new Error(message));
      },
      // Fires an event of the build; says whether somebody listened.
      fire(type) {
        if (!events.has(type)) return false;
        last = top(type);
        try {
          fire(last, project);
        } catch (error) {
          internal.raise(error, "unhandledRejection");
        }
        return true;
      },
      // Tells the script's `error` handlers, once.
      fail(reason, trigger) {
        if (failed) return;
        failed = true;
        if (!events.has("error")) return;
        internal.guarded(() => fire(cause("error", { event: last, reason, trigger }), project));
      },
      after() {
        if (!events.has("after")) return;
        try {
          fire(cause("after", { event: last, trigger: "success" }), project);
        } catch (error) {
          internal.raise(error, "unhandledRejection");
        }
      },
      state() {
        const handlers = events
          .eventNames()
          .filter((name) => typeof name === "string" && events.listeners(name).some((listener) => listener !== ping));
        return { handlers, failed };
      },
    },
  });
});
