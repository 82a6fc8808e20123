// What `require("brigadier")` gives: the script API of Brigade 1.x, and that of Brigade 2 in the
// same object. A job that is made with an event, and a handler that is registered for a source and
// a type, are Brigade 2's; what is of that alone is in brigadier2.js, and loaded when it is used.
(function (host, internal, builtin, module) {
  "use strict";

  const EventEmitter = builtin("events");
  const { stringify, wellFormed } = internal;
  const then = Promise.prototype.then;

  const context = JSON.parse(host.context); // { event, project, v2 }
  const second = () => builtin("brigadier2");
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
    // With a source, a type and a handler it is Brigade 2's: one handler for each, the last.
    on(...said) {
      if (said.length < 3) return super.on(...said);
      const [source, type, handler] = said;
      const key = `${text(source)}:${text(type)}`;
      if (typeof handler !== "function") throw new TypeError(`the handler of ${key} must be a function`);
      handlers.set(key, handler);
      return this;
    }
    has(name) {
      return this.listenerCount(name) > 0;
    }
    fire(e, p) {
      return this.emit(e.type, e, p);
    }
    // Runs Brigade 2's handler of the event, and keeps the text that it comes to.
    async process() {
      const { source, type } = context.v2;
      const keys = [`${source}:${type}`, `${source}:*`];
      const found = keys.find((key) => handlers.has(key));
      processed = found ?? keys[0];
      if (found === undefined) return;
      heard = true;
      const result = handlers.get(found)(second().event());
      // What the promise of a job comes to is no text, so that nobody has to wait for it.
      if (watched.has(result)) return;
      const answer = await result;
      if (typeof answer === "string" && answer !== "") summary = wellFormed(answer);
    }
  }
  const shown = (name) => wellFormed(name.length > 253 ? `${name.slice(0, 250)}...` : name);
  const handlers = new Map(); // of Brigade 2's: `source:type` -> function
  let processed; // the name that `process` was called for
  let heard = false; // and whether it had a handler
  let summary; // what it came to, until that was told
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

  class K8sResult {
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
    const known = JSON.parse(details);
    if (ok ? job.second : job.fallible) {
      if (!ok) host.log("warn", "app", `job ${known.job} has failed, and may: it is fallible`);
      return job.resolve();
    }
    const outcome = ok ? new K8sResult(text) : new Error(job.second ? told(text, known) : text);
    for (const [key, detail] of Object.entries(known)) {
      const value = key.endsWith("Time") ? new Date(detail) : detail;
      Object.defineProperty(outcome, key, { value, writable: true, configurable: true, enumerable: false });
    }
    if (ok) job.resolve(outcome);
    else job.reject(outcome);
  }

  // The same in the words of Brigade 2.
  function told(text, { job, podName, reason }) {
    const intro = `job ${job}(${podName}): Error: `;
    const cause = text.startsWith(intro) ? text.slice(intro.length) : text;
    return `Job "${job}" ${reason === "DeadlineExceeded" ? "timed out" : "failed"}: ${cause}`;
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

  const ran = new WeakMap(); // job, or what stands for one -> { id, podName }

  function start(job, described, second) {
    const id = host.run(stringify(described));
    ran.set(job, { id, podName: host.pod(id) });
    const fallible = second && described.fallible;
    return running(
      (resolve, reject) => jobs.set(id, { resolve, reject, second, fallible }),
      () => host.awaited(id),
    );
  }

  class Job {
    static MAX_JOB_NAME_LENGTH = longest;

    static container(name, image, event) {
      return new Job(name, image, event);
    }
    static sequence(...runnables) {
      return new (second().SerialGroup)(...runnables);
    }
    static concurrent(...runnables) {
      return new (second().ConcurrentGroup)(...runnables);
    }

    constructor(name, image, tasks, imageForcePull = false) {
      if (isEvent(tasks)) {
        second().prepare(this, name, image, tasks);
        return;
      }
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
      return ran.get(this)?.podName ?? "";
    }

    run() {
      if (!("primaryContainer" in this)) return start(this, describe(this), false);
      // What is wrong with a job of Brigade 2 rejects its promise.
      try {
        return start(this, second().describe(this), true);
      } catch (error) {
        return Promise.reject(new Error(`Error creating job "${text(this.name)}": ${error?.message}`));
      }
    }

    logs() {
      const id = ran.get(this)?.id;
      if (id === undefined) return Promise.reject(new Error(`job ${this.name} was not run yet, so it has no logs`));
      return new Promise((resolve, reject) => {
        const token = ++lastToken;
        logs.set(token, { resolve, reject });
        host.logs(id, token);
      });
    }
  }

  // Tasks are a list; any other object is an event.
  const isEvent = (value) =>
    value !== null && typeof value === "object" && typeof value[Symbol.iterator] !== "function";
  const text = (value) => wellFormed(value);
  const list = (value, what) => {
    if (value === undefined || value === null) return [];
    if (typeof value === "string" || typeof value[Symbol.iterator] !== "function") {
      throw new TypeError(`${what} must be an array`);
    }
    return [...value];
  };
  const own = (job, key) => list(job[key], `${key} of job ${job.name}`);
  const texts = (job, key) => own(job, key).map(text);
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

  internal.retries = (value) => Math.min(Math.max(Math.trunc(Number(value)) || 0, 0), 10);

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
      retries: internal.retries(job.retries),
      useSource: Boolean(job.useSource),
      privileged: Boolean(job.privileged),
      serviceAccount: optional(job.serviceAccount),
      resourceRequests: { cpu: optional(job.resourceRequests?.cpu), memory: optional(job.resourceRequests?.memory) },
      resourceLimits: { cpu: optional(job.resourceLimits?.cpu), memory: optional(job.resourceLimits?.memory) },
      host: { os: optional(host_.os), name: optional(host_.name), nodeSelector: record(host_.nodeSelector) },
      cache: { enabled: Boolean(cache.enabled), size: mount(cache.size, "5Mi"), path: mount(cache.path, "/mnt/brigade/cache") },
      storage: { enabled: Boolean(storage.enabled), path: mount(storage.path, "/mnt/brigade/share") },
      docker: { enabled: Boolean(job.docker?.enabled) },
      volumes: own(job, "volumes"),
      volumeMounts: own(job, "volumeMounts"),
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

  // Runs all at once; the promise comes to what `give` makes of their results.
  function together(runnables, give) {
    const started = runnables.map((runnable) => runnable.run());
    const look = () => {
      for (const promise of started) if (watched.has(promise)) promise.then(undefined, () => {});
    };
    return running((resolve, reject) => {
      const results = new Array(started.length);
      let missing = started.length;
      if (missing === 0) resolve(give(results));
      started.forEach((promise, index) => {
        observe(
          promise,
          (result) => {
            results[index] = result;
            missing -= 1;
            if (missing === 0) resolve(give(results));
          },
          reject,
        );
      });
    }, look);
  }

  class Group {
    static runAll(jobs) {
      return together(jobs, (results) => results);
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

  internal.brigadier = { text, list, pairs, record, optional, together, context };

  module.exports = { events, fire, Job, Group, ErrorReport };
  // Brigade 2's names are there, too, where nobody counts Brigade 1's.
  for (const name of ["Container", "JobHost", "ConcurrentGroup", "SerialGroup", "logger"]) {
    Object.defineProperty(module.exports, name, { get: () => second()[name], enumerable: false, configurable: true });
  }

  // --- the life of a build ----------------------------------------------------------------------

  let failed = false;
  let failure; // the first that nobody caught: what it says, and the job that it is of

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
        if (handlers.size > 0 && processed === undefined) {
          host.log("warn", "app", "events.process() is not called, so no handler of a source and a type runs");
        }
        if (!events.has(type)) return heard;
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
        internal.guarded(() => {
          failure = { text: internal.explain(reason).slice(0, 2000) };
          if (reason instanceof Error && typeof reason.job === "string") failure.job = wellFormed(reason.job);
        });
        if (!events.has("error")) return;
        internal.guarded(() => fire(cause("error", { event: last, reason, trigger }), project));
      },
      after() {
        if (!events.has("after")) return;
        try {
          const trigger = Number(builtin("process").exitCode ?? 0) === 0 ? "success" : "failure";
          fire(cause("after", { event: last, trigger }), project);
        } catch (error) {
          internal.raise(error, "unhandledRejection");
        }
      },
      state() {
        const names = events
          .eventNames()
          .filter((name) => typeof name === "string" && events.listeners(name).some((listener) => listener !== ping));
        // Of many, some; but what a build waits for is always told.
        const told = [...names, ...handlers.keys()].filter(
          (name, at) => at < 1000 || name === "after" || name === "error",
        );
        const news = summary; // once, for it may be long
        summary = undefined;
        return { handlers: told.map(shown), processed, summary: news, failed, failure };
      },
    },
  });
});
