{{- define "greenloop.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "greenloop.image" -}}
{{ .Values.image.repository }}@{{ required "image.digest is required: set the digest of your image, sha256:… (crane digest IMAGE)" .Values.image.digest }}
{{- end }}

{{- define "greenloop.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "greenloop.pod-security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}

{{- define "greenloop.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "greenloop.dns" -}}
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
  to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
{{- end }}

{{- define "greenloop.outside" -}}
to:
  - ipBlock:
      cidr: 0.0.0.0/0
      except:
        {{- toYaml .Values.networkPolicy.except | nindent 8 }}
{{- end }}
