{{/* Every name and label of the chart. */}}

{{- define "trireme.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* 45 characters at most: with -test it names a TrainingJob, which may have 50. */}}
{{- define "trireme.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "trireme.name" .) .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "trireme.name" .) | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "trireme.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "trireme.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "trireme.keySecretName" -}}
{{- .Values.key.existingSecret | default (printf "%s-key" (include "trireme.fullname" .)) -}}
{{- end -}}

{{- define "trireme.metricsName" -}}
{{- include "trireme.fullname" . }}-metrics
{{- end -}}

{{- define "trireme.testName" -}}
{{- include "trireme.fullname" . }}-test
{{- end -}}

{{- define "trireme.testHook" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Where the job of `helm test` runs: a namespace that the operator looks after. */}}
{{- define "trireme.testNamespace" -}}
{{- if or (not .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- first .Values.watchNamespaces -}}
{{- end -}}
{{- end -}}

{{- define "trireme.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "trireme.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trireme.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "trireme.labels" -}}
app.kubernetes.io/name: {{ include "trireme.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Finds the Service of the metrics. */}}
{{- define "trireme.metricsLabels" -}}
app.kubernetes.io/name: {{ include "trireme.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: metrics
{{- end -}}

{{/* Not empty where objects of the Prometheus operator can be made, and there is something to scrape. */}}
{{- define "trireme.monitored" -}}
{{- if and .Values.metrics.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
yes
{{- end -}}
{{- end -}}

{{/* What the namespace policy `restricted` asks of a container. The user is the image's own, or the one that OpenShift assigns. */}}
{{- define "trireme.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "trireme.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What the operator does with the API, verb by verb; of secrets it can read none. */}}
{{- define "trireme.rules" -}}
- apiGroups: [trireme.dev]
  resources: [trainingjobs]
  verbs: [get, list, watch, delete]  # delete: cleanup.ttlSecondsAfterFinished
- apiGroups: [trireme.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
# To own objects where the API server enforces permission for blockOwnerDeletion (OpenShift).
- apiGroups: [trireme.dev]
  resources: [trainingjobs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [create, get]
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [create]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, get, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# The pod groups of whichever gang scheduler the cluster has.
- apiGroups: [scheduling.k8s.io]
  resources: [podgroups, workloads]
  verbs: [create]
- apiGroups: [scheduling.volcano.sh, scheduling.x-k8s.io]
  resources: [podgroups]
  verbs: [create]
{{- end -}}
