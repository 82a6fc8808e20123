/**
 * The types of the script API.
 *
 * Copy this file into the repository of a `brigade.ts`; nothing else is needed, and nothing of it
 * is read when the script runs. What a script imports says which API it is checked against:
 *
 * - `"brigadier"` or `"brigade"`: that of Brigade 1;
 * - `"@brigadecore/brigadier"`: that of Brigade 2.
 *
 * When a script runs, the three names are one object with both APIs, so that a script may import
 * the one and the other: `events.on` with a source, a type and a handler, and `new Job` with an
 * event, are Brigade 2's; everything else of the same name is Brigade 1's.
 */

declare module "brigadier" {
  // --- events ---------------------------------------------------------------------------------

  /** What happened: a handler's first argument. */
  export interface BrigadeEvent {
    /** The id of the build: lowercase letters and digits, unique, good for names. */
    buildID: string;
    /** The name of the build's Secret, and of its worker: `brigade-worker-<buildID>`, or what somebody called it who made it by hand. */
    workerID: string;
    /** `push`, `pull_request:opened`, `image_push`, `exec`, ... */
    type: string;
    /** Who sent it: `github`, `acr`, `dockerhub`, `brigade-cli`, ... */
    provider: string;
    /** Where the source is cloned from; empty if the project has no repository. */
    cloneURL?: string;
    /** What the event is about. */
    revision: Revision;
    /** The least level of the worker's own lines: 0 is all, 1 log, 2 info, 3 warn, 4 error, 5 none. */
    logLevel: number;
    /** The body that the sender sent, as text. `JSON.parse` it where it is JSON. */
    payload: string;
    /** The image that it is about. Only events of registries have one. */
    image?: Image;
    /** Why it was fired. Only `after` and `error` have one. */
    cause?: Cause;
  }

  /** The event of an `after` or an `error` handler. Its provider is `brigade`. */
  export interface EndEvent extends Omit<BrigadeEvent, "payload" | "cloneURL" | "image"> {
    cause: Cause;
  }

  /** An image in a registry, read from what the registry sent. */
  export interface Image {
    /** The host that it is pulled from: `example.azurecr.io`. Empty if the registry did not name it. */
    registry: string;
    /** Its repository in that registry: `team/app`. */
    repository: string;
    /** Absent if it was pushed or deleted by its digest alone. */
    tag?: string;
    /** `sha256:...`. Absent if the registry did not name it. */
    digest?: string;
    /** All of it, by its tag if it has one: `example.azurecr.io/team/app:1.0`. */
    reference: string;
  }

  /** A revision of the repository. Either member may be empty. */
  export interface Revision {
    /** The full id of a commit. */
    commit: string;
    /** `refs/heads/main`, `refs/pull/1/head`, `v1.0`, ... */
    ref: string;
  }

  /** Why `after` or `error` was fired. */
  export interface Cause {
    /** The last event that was fired before. */
    event: BrigadeEvent;
    /** What was thrown. Only of `error`. */
    reason?: unknown;
    /** `success`, `unhandledRejection`, `uncaughtException`, or `cancelled`. */
    trigger: string;
  }

  /** A cause, to be made by a script that fires events of its own. */
  export class ErrorReport {
    constructor(cause?: BrigadeEvent, reason?: unknown);
    cause?: BrigadeEvent;
    reason?: unknown;
  }

  /** What a handler is told. What it returns is of no interest, but a promise that it leaves
   * rejected fails the build. */
  export type Handler<E = BrigadeEvent> = (event: E, project: Project) => unknown;

  /** The handlers of a script. */
  export interface EventRegistry {
    /** Registers a handler for the end of everything that the event started, if nothing failed. */
    on(name: "after", handler: Handler<EndEvent>): this;
    /** Registers a handler for the first failure that nobody caught. */
    on(name: "error", handler: Handler<EndEvent>): this;
    /** Registers a handler. Handlers of one name run in the order of their registration. */
    on(name: string, handler: Handler): this;
    /** Whether there is a handler for a name. */
    has(name: string): boolean;
    /** Runs the handlers of the event's type. Jobs are still run for the build's own event. */
    fire(event: Fired, project: Project): boolean;

    /** Runs the handlers of a name, whatever they are told. */
    emit(name: string, ...said: unknown[]): boolean;
    addListener(name: string, handler: Handler): this;
    prependListener(name: string, handler: Handler): this;
    once(name: string, handler: Handler): this;
    prependOnceListener(name: string, handler: Handler): this;
    off(name: string, handler: Handler): this;
    removeListener(name: string, handler: Handler): this;
    removeAllListeners(name?: string): this;
    listeners(name: string): Function[];
    rawListeners(name: string): Function[];
    listenerCount(name: string): number;
    eventNames(): (string | symbol)[];
    setMaxListeners(count: number): this;
    getMaxListeners(): number;
  }

  /** The handlers of this script. */
  export const events: EventRegistry;

  /** An event that a script fires itself needs a type; the rest is as the handlers need it. */
  export type Fired = Partial<BrigadeEvent> & { type: string };

  /** Runs the handlers of the event's type; jobs that are run from now on are run for this event. */
  export function fire(event: Fired, project: Project): boolean;

  // --- the project ----------------------------------------------------------------------------

  /** The project that the build is of: a handler's second argument. */
  export interface Project {
    /** `brigade-` and a digest of the name. */
    id: string;
    /** The repository with its host, `github.com/org/app`; the project's name if it has none. */
    name: string;
    kubernetes: KubernetesConfig;
    /** What the project keeps secret, in clear text. It is masked where it is printed. */
    secrets: { [name: string]: any };
    /** Whether `job.privileged` is heeded. */
    allowPrivilegedJobs: boolean;
    /** Whether `job.docker` and volumes of the host are heeded. */
    allowHostMounts: boolean;
    /** Absent if the project has no repository. */
    repo?: Repository;
  }

  /** Where and how the project's jobs run. */
  export interface KubernetesConfig {
    namespace: string;
    /** The size of the storage that the jobs of a build share: `50Mi`. */
    buildStorageSize: string;
    /** The image that checks the source out; empty if nothing does. */
    vcsSidecar: string;
    vcsSidecarResourcesLimitsCPU: string;
    vcsSidecarResourcesLimitsMemory: string;
    vcsSidecarResourcesRequestsCPU: string;
    vcsSidecarResourcesRequestsMemory: string;
    cacheStorageClass: string;
    buildStorageClass: string;
  }

  /** The project's repository. */
  export interface Repository {
    /** The project's name: `org/app`. */
    name: string;
    cloneURL: string | null;
    initGitSubmodules: boolean;
    sshKey?: string;
    sshCert?: string;
    token?: string;
  }

  // --- jobs -----------------------------------------------------------------------------------

  /** A pod that runs a script in an image. */
  export class Job {
    /** The longest name: 36 characters. */
    static readonly MAX_JOB_NAME_LENGTH: number;

    /**
     * @param name Lowercase letters, digits, `-` and `.`; unique in the build
     * @param image The image of its container
     * @param tasks The lines of its script; without any, the image's own entry point runs
     * @param imageForcePull Whether the image is pulled even if the node has it
     */
    constructor(name: string, image?: string, tasks?: string[] | null, imageForcePull?: boolean);

    name: string;
    image: string;
    imageForcePull: boolean;
    /** The Secrets that pull its images, beside the project's own. */
    imagePullSecrets: string[];
    /** The lines of its script, which ends at the first that fails. */
    tasks: string[];
    /** The arguments of its container. With tasks, they are `$1` and so on of the script. */
    args: string[];
    /** What runs the script: `/bin/sh`. */
    shell: string;
    /** Its environment. Texts, numbers and booleans are kept in the job's Secret. */
    env: { [name: string]: EnvironmentValue } | Map<string, EnvironmentValue>;
    /** Where it sees the source: `/src`. */
    mountPath: string;
    /** How long it may take, in milliseconds: 900000, which is 15 minutes. */
    timeout: number;
    /** How often another pod is made for it when the cluster loses one or cannot start it, at most
     * 10: 0. What fails by itself is not run again. */
    retries: number;
    /** Whether it gets the source: true. */
    useSource: boolean;
    /** Whether it is privileged, where the project allows it: false. */
    privileged: boolean;
    /** The service account of its pod: the project's own, or one that the installation allows. */
    serviceAccount?: string;
    /** What it is promised: nothing. */
    resourceRequests: JobResources;
    /** What it may use: as much as there is. */
    resourceLimits: JobResources;
    host: JobHost;
    cache: JobCache;
    storage: JobStorage;
    docker: JobDockerMount;
    /** Volumes of its pod, as Kubernetes describes them. */
    volumes: Volume[];
    /** Where its container mounts them. */
    volumeMounts: VolumeMount[];
    /** Annotations of its pod. */
    annotations: { [name: string]: string };
    /** Whether the build's log shows its log, line by line: false. */
    streamLogs: boolean;

    /** The name of its pod; empty until it is run. */
    readonly podName: string;

    /**
     * Runs it. Whether somebody looks at the promise is noticed: a build whose jobs nobody awaits
     * needs no worker.
     *
     * @returns what it printed; rejected with a {@link JobError} when it fails
     */
    run(): Promise<Result>;

    /** The end of what it printed, also after it has failed. */
    logs(): Promise<string>;
  }

  /** What a job came to. */
  export interface Result {
    /** The end of what it printed, at most 1 MiB. */
    data: string;
    /** The same. */
    toString(): string;
    /** The pod that did the work. */
    podName: string;
    /** 0, if the cluster said so. */
    exitCode?: number;
    /** When its container was started. */
    startTime?: Date;
    /** When it ended. */
    endTime?: Date;
  }

  /** What the promise of a job is rejected with. */
  export interface JobError extends Error {
    /** The name of the job. */
    job: string;
    podName: string;
    /** The exit code of its container, if it had one. */
    exitCode?: number;
    /** Kubernetes' word: `OOMKilled`, `DeadlineExceeded`, `Evicted`, `ImagePullBackOff`, ... */
    reason?: string;
    /** When its container was started, if it was. */
    startTime?: Date;
    /** When it ended. */
    endTime?: Date;
  }

  /** A text, or where Kubernetes takes it from. `null` is an empty text; `undefined` is left out. */
  export type EnvironmentValue = string | number | boolean | bigint | null | undefined | EnvironmentSource;

  /** Where Kubernetes takes a variable from. */
  export interface EnvironmentSource {
    /** Only where the project has `kubernetes.allowSecretKeyRef`. */
    secretKeyRef?: { name: string; key: string; optional?: boolean };
    configMapKeyRef?: { name: string; key: string; optional?: boolean };
    fieldRef?: { fieldPath: string; apiVersion?: string };
    resourceFieldRef?: { resource: string; containerName?: string; divisor?: string };
  }

  /** Amounts as Kubernetes writes them. */
  export interface JobResources {
    /** `500m`, `2` */
    cpu?: string;
    /** `64Mi`, `1Gi` */
    memory?: string;
  }

  /** Where a job wants to run. */
  export interface JobHost {
    /** The operating system of the node: `linux` or `windows`. */
    os?: string;
    /** The name of the node. */
    name?: string;
    /** Labels of the node. */
    nodeSelector: Map<string, string>;
  }

  /** What a job keeps from one build to the next. */
  export interface JobCache {
    /** false */
    enabled: boolean;
    /** `5Mi` */
    size: string;
    /** `/mnt/brigade/cache` */
    path: string;
  }

  /** The storage that the jobs of a build share, and that is deleted at its end. */
  export interface JobStorage {
    /** false */
    enabled: boolean;
    /** `/mnt/brigade/share` */
    path: string;
  }

  /** The host's Docker socket, where the project allows it. */
  export interface JobDockerMount {
    /** false */
    enabled: boolean;
  }

  /** A volume, as Kubernetes describes it. */
  export interface Volume {
    name: string;
    emptyDir?: { medium?: string; sizeLimit?: string };
    persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
    configMap?: { name?: string; [property: string]: unknown };
    /** Only where the project has `kubernetes.allowSecretKeyRef`. */
    secret?: { secretName?: string; [property: string]: unknown };
    /** Only where the project has `allowHostMounts`. */
    hostPath?: { path: string; type?: string };
    [source: string]: unknown;
  }

  /** Where a container mounts a volume, as Kubernetes describes it. */
  export interface VolumeMount {
    name: string;
    mountPath: string;
    readOnly?: boolean;
    subPath?: string;
    [property: string]: unknown;
  }

  // --- groups ---------------------------------------------------------------------------------

  /** Jobs that are run together. */
  export class Group {
    /** Runs all at once; rejected at the first failure, while the others run on. */
    static runAll(jobs: Job[]): Promise<Result[]>;
    /** Runs one after another, until one fails. */
    static runEach(jobs: Job[]): Promise<Result[]>;

    constructor(jobs?: Job[]);
    jobs: Job[];
    add(...jobs: Job[]): void;
    length(): number;
    runAll(): Promise<Result[]>;
    runEach(): Promise<Result[]>;
  }
}

declare module "brigade" {
  export * from "brigadier";
}

declare module "@brigadecore/brigadier" {
  // --- events ---------------------------------------------------------------------------------

  /** What happened: a handler's argument. */
  export interface Event {
    /** The id of the build: lowercase letters and digits, unique. */
    id: string;
    project: Project;
    /** `brigade.sh/` and the gateway: `brigade.sh/github`, `brigade.sh/acr`, `brigade.sh/cli`, ... */
    source: string;
    /** `push`, `pull_request:opened`, `exec`, ... */
    type: string;
    /** What tells it from others of its type: `{ repo: "org/app" }`. */
    qualifiers: { [key: string]: string };
    /** What else is known of it. */
    labels: { [key: string]: string };
    shortTitle: string;
    longTitle: string;
    /** The body that the sender sent, as text. */
    payload: string;
    /** The image that it is about. Only events of registries have one. */
    image?: Image;
    worker: Worker;
  }

  /** An image in a registry, read from what the registry sent. */
  export interface Image {
    /** The host that it is pulled from: `example.azurecr.io`. Empty if the registry did not name it. */
    registry: string;
    /** Its repository in that registry: `team/app`. */
    repository: string;
    /** Absent if it was pushed or deleted by its digest alone. */
    tag?: string;
    /** `sha256:...`. Absent if the registry did not name it. */
    digest?: string;
    /** All of it, by its tag if it has one: `example.azurecr.io/team/app:1.0`. */
    reference: string;
  }

  /** The project that the build is of. */
  export interface Project {
    id: string;
    kubernetes: { namespace: string };
    /** What the project keeps secret, in clear text. It is masked where it is printed. */
    secrets: { [key: string]: string };
  }

  /** What the script runs in. */
  export interface Worker {
    /** Empty: there is no Brigade API server, and no script needs one. */
    apiAddress: string;
    /** Empty, too. */
    apiToken: string;
    configFilesDirectory: string;
    defaultConfigFiles: { [key: string]: string };
    /** `DEBUG`, `INFO`, `WARN` or `ERROR`: what the logger shows. */
    logLevel: string;
    git: Git;
  }

  /** The source of the event. */
  export interface Git {
    /** Absent if the project has no repository. */
    cloneURL?: string;
    /** May be empty. */
    commit: string;
    /** May be empty. */
    ref: string;
  }

  /** What it returns, or its promise comes to, is the summary of the build if it is a text. */
  export type EventHandler = (event: Event) => unknown;

  /** The handlers of a script. */
  export interface EventRegistry {
    /**
     * Registers the handler of a source and a type; a later one replaces it. The type `*` is for
     * every type of the source that has no handler of its own.
     */
    on(source: string, type: string, handler: EventHandler): this;
    /** Runs the handler of the build's event. To be called once, when all are registered. */
    process(): Promise<void>;
  }

  /** The handlers of this script. */
  export const events: EventRegistry;

  // --- jobs -----------------------------------------------------------------------------------

  /** What can be run: a job, or a group of what can be run. */
  export interface Runnable {
    run(): Promise<void>;
  }

  /** A pod of one container that does the work, and of others beside it. */
  export class Job implements Runnable {
    /** The longest name: 36 characters. */
    static readonly MAX_JOB_NAME_LENGTH: number;
    /** The same as `new Job(...)`. */
    static container(name: string, image: string, event: Event): Job;
    /** What is run one after another, until one fails. */
    static sequence(...runnables: Runnable[]): SerialGroup;
    /** What is run all at once. */
    static concurrent(...runnables: Runnable[]): ConcurrentGroup;

    /**
     * @param name Lowercase letters, digits and `-`; unique in the build
     * @param image The image of the primary container
     * @param event The event that the handler was told
     */
    constructor(name: string, image: string, event: Event);

    name: string;
    /** The container that does the work: the job has ended when it has, and as it has. */
    primaryContainer: Container;
    /** Containers beside it, by name: they are started before it, started again if they end
     * earlier, and ended after it. */
    sidecarContainers: { [name: string]: Container };
    /** How long it may take, in seconds: 900, which is 15 minutes. */
    timeoutSeconds: number;
    /** How often another pod is made for it when the cluster loses one or cannot start it, at most
     * 10: 0. What fails by itself is not run again. */
    retries: number;
    host: JobHost;
    /** Whether it may fail without failing the build: false. */
    fallible: boolean;
    /** The event that it was made with. */
    event: Event;

    /** The name of its pod; empty until it is run. */
    readonly podName: string;

    /** Runs it. Rejected with a {@link JobError} when it fails, unless it is fallible. */
    run(): Promise<void>;
    /** The end of what the primary container printed, also after it has failed. */
    logs(): Promise<string>;
  }

  /** A container of a job. */
  export class Container {
    constructor(image: string);
    image: string;
    /** Whether the image is pulled even if the node has it: `IfNotPresent`. */
    imagePullPolicy: "IfNotPresent" | "Always";
    /** Where it starts; empty is where the image says. */
    workingDirectory: string;
    /** What it runs; empty is the image's own entry point. */
    command: string[];
    /** The arguments of that. */
    arguments: string[];
    /** Its environment, which is kept in a Secret. `undefined` is left out. */
    environment: { [name: string]: string | undefined };
    /** Where it sees the storage that the jobs of a build share; empty is nowhere. */
    workspaceMountPath: string;
    /** Where it sees the source; empty is nowhere. */
    sourceMountPath: string;
    /** Whether it is privileged, where the project allows it: false. */
    privileged: boolean;
  }

  /** Where a job wants to run. */
  export class JobHost {
    /** The operating system of the node: `linux` or `windows`. */
    os?: string;
    /** Labels of the node. */
    nodeSelector: { [label: string]: string };
  }

  /** What the promise of a job is rejected with. */
  export interface JobError extends Error {
    /** The name of the job. */
    job: string;
    podName: string;
    /** The exit code of the primary container, if it had one. */
    exitCode?: number;
    /** Kubernetes' word: `OOMKilled`, `DeadlineExceeded`, `Evicted`, `ImagePullBackOff`, ... */
    reason?: string;
    /** When its container was started, if it was. */
    startTime?: Date;
    /** When it ended. */
    endTime?: Date;
  }

  // --- groups ---------------------------------------------------------------------------------

  /** What is run one after another, until one fails. */
  export class SerialGroup implements Runnable {
    constructor(...runnables: Runnable[]);
    runnables: Runnable[];
    add(...runnables: Runnable[]): void;
    length(): number;
    run(): Promise<void>;
  }

  /** What is run all at once; rejected at the first failure, while the others run on. */
  export class ConcurrentGroup implements Runnable {
    constructor(...runnables: Runnable[]);
    runnables: Runnable[];
    add(...runnables: Runnable[]): void;
    length(): number;
    run(): Promise<void>;
  }

  // --- the logger -----------------------------------------------------------------------------

  /** Prints lines with their level, from the event's own level on. */
  export interface Logger {
    /** @param meta What stands for `%s` and the like in the message, and what follows it */
    debug(message: string, ...meta: unknown[]): Logger;
    info(message: string, ...meta: unknown[]): Logger;
    warn(message: string, ...meta: unknown[]): Logger;
    error(message: string, ...meta: unknown[]): Logger;
  }

  export const logger: Logger;
}
