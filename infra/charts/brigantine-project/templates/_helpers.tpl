{{- /* The text of a value, as it is written in the values file. */ -}}
{{- define "text" -}}
{{- if kindIs "invalid" . -}}
{{- else if kindIs "float64" . -}}{{ toJson . }}
{{- else -}}{{ toString . }}
{{- end -}}
{{- end -}}

{{- /* "true" or "false": [the key, its value, the default]. */ -}}
{{- define "truth" -}}
{{- $text := include "text" (index . 1) | lower -}}
{{- if eq $text "" -}}{{ index . 2 }}
{{- else if or (eq $text "true") (eq $text "false") -}}{{ $text }}
{{- else -}}{{ fail (printf "the key %s must be true or false" (index . 0)) }}
{{- end -}}
{{- end -}}

{{- /* A list, or a text that is one already, as a text with commas. */ -}}
{{- define "list" -}}
{{- if kindIs "slice" . -}}{{ join "," . }}{{- else -}}{{ include "text" . }}{{- end -}}
{{- end -}}

{{- /* JSON: of a list or a mapping, or of a text that is that already: [the key, the value]. */ -}}
{{- define "json" -}}
{{- $value := index . 1 -}}
{{- if kindIs "string" $value -}}
{{- if trim $value -}}
{{- $_ := include "parsed" (list (index . 0) $value) -}}
{{ $value }}
{{- end -}}
{{- else if not (empty $value) -}}{{ toRawJson $value }}
{{- end -}}
{{- end -}}

{{- /* What a text that is JSON holds, written anew. The parser's words could quote a secret. */ -}}
{{- define "parsed" -}}
{{- $whole := printf "{\"value\":%s}" (trim (index . 1)) | fromJson -}}
{{- if not (hasKey $whole "value") -}}{{ fail (printf "the key %s is not JSON" (index . 0)) }}{{- end -}}
{{- toRawJson $whole.value -}}
{{- end -}}

{{- /* The name of the project's Secret, as Brigade and Brigantine make it of the project's name. */ -}}
{{- define "id" -}}
{{- $name := include "text" .Values.project -}}
{{- if not $name -}}{{ fail "the values name no project: add `project: org/repository`" }}{{- end -}}
{{- if and (hasPrefix "brigade-" $name) (not (contains "/" $name)) -}}{{ $name }}
{{- else -}}brigade-{{ sha256sum $name | trunc 54 }}
{{- end -}}
{{- end -}}

{{- /* Keys that have no effect, a line each: a misspelt one would be lost without a word. */ -}}
{{- define "unknown" -}}
{{- $known := list "project" "repository" "cloneURL" "initGitSubmodules" "sharedSecret"
  "genericGatewaySecret" "github" "slack" "sshKey" "sshCert" "secrets" "namespace" "serviceAccount"
  "vcsSidecar" "vcsSidecarResources" "imagePullSecrets" "defaultScript" "defaultScriptName"
  "defaultConfig" "defaultConfigName" "brigadejsPath" "brigadeConfigPath" "buildStorageSize"
  "allowPrivilegedJobs" "allowHostMounts" "allowForks" "kubernetes" "worker" "workerCommand"
  "filters" "limits" "hooks" "notifiers" "global" -}}
{{- range $key := keys .Values | sortAlpha }}{{ if not (has $key $known) }}
- {{ $key }}
{{- end }}{{ end -}}
{{- $inner := dict
  "github" (list "token" "baseURL" "uploadURL")
  "slack" (list "signingSecret")
  "kubernetes" (list "allowSecretKeyRef" "buildStorageClass" "cacheStorageClass" "eventFilters")
  "worker" (list "name" "pullPolicy" "registry" "tag")
  "vcsSidecarResources" (list "limits" "requests")
  "filters" (list "events" "branches" "tags" "paths" "images")
  "limits" (list "maxBuilds" "maxJobs" "supersede" "scriptMemory" "scriptTime" "scriptOutput"
    "scriptJobs" "scriptTimers") -}}
{{- $values := .Values -}}
{{- range $section, $own := $inner }}{{ range $key := keys (index $values $section | default dict) | sortAlpha }}
{{- if not (has $key $own) }}
- {{ $section }}.{{ $key }}
{{- end }}{{ end }}{{ end -}}
{{- end -}}
