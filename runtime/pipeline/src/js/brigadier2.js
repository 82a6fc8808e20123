// What is of Brigade 2's script API alone: the event, containers, groups and the logger.
(function (host, internal, builtin, module) {
  "use strict";

  const { text, list, pairs, record, optional, together, context } = internal.brigadier;
  const first = context.event;

  // --- the event ------------------------------------------------------------------------------

  // Made anew for each call: what a handler does to it, it does to itself.
  function event() {
    const { source, type, qualifiers, labels, shortTitle, longTitle, logLevel } = context.v2;
    const git = { commit: first.revision.commit, ref: first.revision.ref };
    if (first.cloneURL) git.cloneURL = first.cloneURL;
    const { id, kubernetes, secrets } = context.project;
    return {
      id: first.buildID,
      project: { id, kubernetes: { namespace: kubernetes.namespace }, secrets: { ...secrets } },
      source,
      type,
      qualifiers: { ...qualifiers },
      labels: { ...labels },
      shortTitle,
      longTitle,
      payload: first.payload,
      ...(first.image && { image: { ...first.image } }),
      worker: {
        apiAddress: "",
        apiToken: "",
        configFilesDirectory: ".brigade",
        defaultConfigFiles: {},
        logLevel,
        git,
      },
    };
  }

  // --- jobs -----------------------------------------------------------------------------------

  class Container {
    constructor(image) {
      this.image = image;
      this.imagePullPolicy = "IfNotPresent";
      this.workingDirectory = "";
      this.command = [];
      this.arguments = [];
      this.environment = {};
      this.workspaceMountPath = "";
      this.sourceMountPath = "";
      this.privileged = false;
    }
  }

  class JobHost {
    constructor() {
      this.os = undefined;
      this.nodeSelector = {};
    }
  }

  function prepare(job, name, image, event) {
    job.name = name;
    job.primaryContainer = new Container(image);
    job.sidecarContainers = {};
    job.timeoutSeconds = 900;
    job.retries = 0;
    job.host = new JobHost();
    job.fallible = false;
    job.event = event;
  }

  // A job as Rust reads it, the same as one of Brigade 1: its own container is the primary one.
  function describe(job) {
    const name = text(job.name);
    const seconds = Number(job.timeoutSeconds);
    if (!(seconds > 0 && seconds < 1e12)) {
      throw new TypeError(`timeoutSeconds of job ${name} must be a number above 0`);
    }
    const own = container(job.primaryContainer, `primaryContainer of job ${name}`);
    const sidecars = pairs(job.sidecarContainers).map(([key, value]) => ({
      name: text(key),
      ...container(value, `sidecar ${text(key)} of job ${name}`),
    }));
    const all = [own, ...sidecars];
    const git = job.event?.worker?.git ?? {};
    return {
      name,
      image: own.image,
      imageForcePull: own.imageForcePull,
      command: own.command,
      args: own.args,
      workingDirectory: own.workingDirectory,
      env: own.env,
      useSource: all.some((each) => each.sourceMountPath !== undefined),
      mountPath: own.sourceMountPath ?? "",
      storage: {
        enabled: all.some((each) => each.workspaceMountPath !== undefined),
        path: own.workspaceMountPath ?? "",
      },
      privileged: own.privileged,
      timeout: Math.ceil(seconds * 1000),
      retries: internal.retries(job.retries),
      host: {
        os: optional(job.host?.os)?.toLowerCase(),
        nodeSelector: record(job.host?.nodeSelector),
      },
      fallible: Boolean(job.fallible),
      sidecars,
      occasion: {
        type: first.type,
        provider: first.provider,
        cloneURL: optional(git.cloneURL) ?? optional(first.cloneURL),
        revision: {
          commit: optional(git.commit) ?? first.revision.commit,
          ref: optional(git.ref) ?? first.revision.ref,
        },
      },
    };
  }

  function container(value, what) {
    if (value === null || typeof value !== "object") throw new TypeError(`${what} must be a Container`);
    const policy = optional(value.imagePullPolicy) ?? "IfNotPresent";
    if (policy !== "IfNotPresent" && policy !== "Always") {
      throw new TypeError(`imagePullPolicy of ${what} must be "IfNotPresent" or "Always", not "${policy}"`);
    }
    return {
      image: text(value.image ?? ""),
      imageForcePull: policy === "Always",
      workingDirectory: optional(value.workingDirectory),
      command: list(value.command, `command of ${what}`).map(text),
      args: list(value.arguments, `arguments of ${what}`).map(text),
      env: environment(value.environment, what),
      workspaceMountPath: optional(value.workspaceMountPath),
      sourceMountPath: optional(value.sourceMountPath),
      privileged: Boolean(value.privileged),
    };
  }

  // A secret that a project does not have is a variable that is not set.
  function environment(values, what) {
    const found = [];
    for (const [key, value] of pairs(values)) {
      if (value === undefined || value === null) continue;
      if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
        throw new TypeError(`environment ${text(key)} of ${what} must be a string, not ${typeof value}`);
      }
      found.push([text(key), text(value)]);
    }
    return found;
  }

  // --- groups ---------------------------------------------------------------------------------

  class Runnables {
    constructor(...runnables) {
      this.runnables = runnables;
    }
    add(...runnables) {
      for (const runnable of runnables) this.runnables.push(runnable);
    }
    length() {
      return this.runnables.length;
    }
  }

  class ConcurrentGroup extends Runnables {
    run() {
      try {
        return together(this.runnables, () => undefined);
      } catch (error) {
        return Promise.reject(error);
      }
    }
  }

  class SerialGroup extends Runnables {
    run() {
      // Nobody has to wait for the last one.
      if (this.runnables.length === 1) return ConcurrentGroup.prototype.run.call(this);
      return (async () => {
        for (const runnable of this.runnables) await runnable.run();
      })();
    }
  }

  // --- the logger -----------------------------------------------------------------------------

  const levels = ["error", "warn", "info", "debug"];
  const loudest = levels.indexOf(context.v2.logLevel.toLowerCase());

  class Logger {
    debug(message, ...meta) {
      return log(this, "debug", message, meta);
    }
    info(message, ...meta) {
      return log(this, "info", message, meta);
    }
    warn(message, ...meta) {
      return log(this, "warn", message, meta);
    }
    error(message, ...meta) {
      return log(this, "error", message, meta);
    }
  }

  function log(logger, level, message, meta) {
    if (levels.indexOf(level) <= loudest) {
      const shown = builtin("util").format(message, ...meta);
      host.print(level, text(`${level.toUpperCase()}: ${shown}`));
    }
    return logger;
  }

  module.exports = {
    event, prepare, describe, Container, JobHost, ConcurrentGroup, SerialGroup, logger: new Logger(),
  };
});
