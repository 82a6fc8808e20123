{{- define "name" -}}
{{- if contains "brigantine" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-brigantine" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end -}}
{{- end -}}

{{- /* A value as a text; whole numbers without an exponent. */ -}}
{{- define "text" -}}
{{- if kindIs "float64" . }}{{ toJson . }}{{ else if not (kindIs "invalid" .) }}{{ toString . }}{{ end -}}
{{- end -}}

{{- /* The labels of an object: [the root, the component]. */ -}}
{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "selector" -}}
app.kubernetes.io/name: brigantine
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* An image of ours: [the root, its name]. */ -}}
{{- define "image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.registry }}/{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- /* The image of workers; what Brigade's values say of it wins. */ -}}
{{- define "workerImage" -}}
{{- $worker := .Values.worker -}}
{{ $worker.registry | default .Values.image.registry }}/{{ $worker.name | default "worker" }}:{{ $worker.tag | default .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "workerAccount" -}}{{ .Values.worker.serviceAccount.name | default "brigade-worker" }}{{- end -}}
{{- define "jobsAccount" -}}{{ .Values.jobs.serviceAccount.name | default "brigantine-jobs" }}{{- end -}}
{{- define "functionsAccount" -}}{{ .Values.functions.serviceAccount.name | default "brigantine-functions" }}{{- end -}}
{{- define "sweeperAccount" -}}{{ .Values.sweeper.serviceAccount.name | default "brigantine-sweeper" }}{{- end -}}

{{- /* The release's namespace and those that builds are in, too. */ -}}
{{- define "namespaces" -}}
{{ concat (list .Release.Namespace) (.Values.buildNamespaces | default list) | uniq | toJson }}
{{- end -}}

{{- /* What is secret, by the keys of the Secret: Brigade's values, and ours. */ -}}
{{- define "secrets" -}}
{{- $secrets := .Values.secrets -}}
{{- $github := (index .Values "brigade-github-app").github | default dict -}}
{{- $key := $github.key | default "" -}}
{{- if contains "REQUIRED" $key }}{{ $key = "" }}{{ end -}}
{{- $all := dict
  "DEFAULT_SHARED_SECRET" ($secrets.DEFAULT_SHARED_SECRET | default $github.defaultSharedSecret | default "")
  "APP_ID" (include "text" ($secrets.APP_ID | default $github.appID | default ""))
  "APP_KEY" ($secrets.APP_KEY | default $key) -}}
{{- $given := dict -}}
{{- range $name, $value := $all }}{{ if $value }}{{ $_ := set $given $name $value }}{{ end }}{{ end -}}
{{- if and $secrets.existing $given }}
{{- fail (printf "secrets.existing names a Secret of yours, and there are values for %s, too: put them into that Secret, or leave secrets.existing empty" (keys $given | sortAlpha | join ", ")) }}
{{- end }}
{{- if ne (hasKey $given "APP_ID") (hasKey $given "APP_KEY") }}
{{- fail "a GitHub App needs both secrets.APP_ID and secrets.APP_KEY (brigade-github-app.github.appID and .key)" }}
{{- end }}
{{- toJson $given -}}
{{- end -}}

{{- /* The name of the Secret with them; nothing where there is none. */ -}}
{{- define "secretName" -}}
{{- if .Values.secrets.existing }}{{ .Values.secrets.existing }}
{{- else if include "secrets" . | fromJson }}{{ include "name" . }}
{{- end -}}
{{- end -}}

{{- /* The functions that are served; nothing is all of them. */ -}}
{{- define "served" -}}
{{- $names := .Values.functions.names -}}
{{- $switches := list
  (list "cr.enabled" .Values.cr.enabled (list "registry"))
  (list "genericGateway.enabled" .Values.genericGateway.enabled (list "generic" "cloudevents"))
  (list "brigade-github-app.enabled" (index .Values "brigade-github-app").enabled (list "github")) -}}
{{- $off := list -}}
{{- range $switch := $switches }}
{{- $own := index $switch 2 }}
{{- if and (not (kindIs "invalid" (index $switch 1))) (not (index $switch 1)) }}{{ $off = concat $off $own }}
{{- else if and (index $switch 1) $names }}
{{- range $name := $own }}{{ if not (has $name $names) }}
{{- fail (printf "%s is true, and functions.names does not have %s: add it, or leave functions.names empty" (index $switch 0) $name) }}
{{- end }}{{ end }}
{{- end }}{{ end }}
{{- if $off }}
{{- $all := $names | default (include "functions" . | splitList " ") }}
{{- $kept := list }}
{{- range $all }}{{ if not (has . $off) }}{{ $kept = append $kept . }}{{ end }}{{ end }}
{{- if not $kept }}{{ fail "no function is left: functions.names, cr.enabled, genericGateway.enabled and brigade-github-app.enabled leave none" }}{{ end }}
{{- join "," $kept }}
{{- else }}{{ join "," $names }}
{{- end -}}
{{- end -}}

{{- /* The settings of functions, which workers are made by, and so the sweeper's, too. */ -}}
{{- define "environment" -}}
{{- $app := index .Values "brigade-github-app" -}}
{{- $gateway := $app.gateway | default dict -}}
{{- $check := ($app.github | default dict).checkSuiteOnPR -}}
{{- $secret := include "secretName" . -}}
{{- $settings := dict
  "NAMESPACE" .Release.Namespace
  "FUNCTIONS" (include "served" .)
  "WORKER_IMAGE" (include "workerImage" .)
  "WORKER_PULL_POLICY" (.Values.worker.pullPolicy | default .Values.image.pullPolicy)
  "WORKER_SERVICE_ACCOUNT" (include "workerAccount" .)
  "JOB_SERVICE_ACCOUNT" (include "jobsAccount" .)
  "SWEEPER_SERVICE_ACCOUNT" (include "sweeperAccount" .)
  "DEFAULT_BUILD_STORAGE_CLASS" .Values.worker.defaultBuildStorageClass
  "DEFAULT_CACHE_STORAGE_CLASS" .Values.worker.defaultCacheStorageClass
  "REGISTRY_ALLOW_UNSIGNED" (.Values.cr.allowUnsigned | ternary "true" "")
  "ALLOWED_AUTHORS" (join "," $gateway.allowedAuthorRoles)
  "EVENTS" (join "," $gateway.emittedEvents)
  "CHECK_SUITE_ON_PR" (kindIs "invalid" $check | ternary "" (toString $check))
  "APP_SECRET" (and .Values.secrets.forWorkers (ne $secret "") | ternary $secret "") -}}
{{- range $name, $value := .Values.functions.settings }}
{{- /* A proxy is only secret with a password. */ -}}
{{- $open := and (eq $name "HTTPS_PROXY") (not (contains "@" (toString $value))) }}
{{- if and (has $name (include "secretSettings" $ | splitList " ")) (not $open) }}
{{- fail (printf "functions.settings.%s is secret, and settings are written into the Deployment for all to see: put it into a Secret of yours that secrets.existing names, or give it by functions.environment%s" $name (has $name (list "DEFAULT_SHARED_SECRET" "APP_KEY") | ternary (printf ", or use secrets.%s" $name) "")) }}
{{- end }}
{{- $_ := set $settings $name $value }}
{{- end }}
{{- range $name, $value := $settings }}
{{- with include "text" $value }}
- {name: {{ $name }}, value: {{ quote . }}}
{{- end }}{{ end }}
{{- with .Values.functions.environment }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Where metrics are served: the setting, or what a ServiceMonitor needs. */ -}}
{{- define "metrics" -}}
{{- $said := include "text" (get (.Values.functions.settings | default dict) "METRICS") -}}
{{- $said | default (.Values.serviceMonitor.enabled | ternary "0.0.0.0:9090" "") -}}
{{- end -}}

{{- /* The port of that, where it is an address of its own. */ -}}
{{- define "metricsPort" -}}
{{- $metrics := include "metrics" . -}}
{{- if regexMatch ":[0-9]+$" $metrics }}{{ regexFind "[0-9]+$" $metrics }}
{{- else if .Values.serviceMonitor.enabled }}
{{- fail (printf "serviceMonitor.enabled needs metrics at an address of their own, which functions.settings.METRICS=%s does not have: leave it out, or name one such as 0.0.0.0:9090" $metrics) }}
{{- end -}}
{{- end -}}

{{- /* How pods are that only speak to the API server and to senders: the profile `restricted`. */ -}}
{{- define "podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end -}}

{{- /* The settings that are secret; a test compares them with the program's. */ -}}
{{- define "secretSettings" -}}
APP_KEY AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_CLIENT_SECRET AZURE_TRIGGERS CHECK_TOKEN DEFAULT_SHARED_SECRET HTTPS_PROXY IDENTITY_HEADER KUBECONFIG_TEXT MESSAGE_PATH OTEL_EXPORTER_OTLP_HEADERS
{{- end -}}

{{- /* All functions; a test compares them with the program's. */ -}}
{{- define "functions" -}}
azuredevops bitbucket cloudevents cron eventgrid generic gitea github gitlab hook kubernetes notify-email notify-github notify-slack notify-teams notify-webhook registry slack
{{- end -}}
