"""The custom kind that the recording was made with: a bit of everything that a definition can say."""

from __future__ import annotations

from typing import Any

import yaml

GROUP = "conformance.trireme.dev"
NAMESPACE = "conformance"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/{NAMESPACE}/widgets"

DEFINITION: dict[str, Any] = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.conformance.trireme.dev}
spec:
  group: conformance.trireme.dev
  scope: Namespaced
  names:
    {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList, shortNames: [wd], categories: [training]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.selector
    additionalPrinterColumns:
    - {name: Mode, type: string, jsonPath: .spec.mode}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Why, type: string, jsonPath: .status.message, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [mode]
            x-kubernetes-validations:
            - rule: "!has(self.minReplicas) || self.minReplicas <= self.replicas"
              message: minReplicas must not exceed replicas
            properties:
              mode: {type: string, enum: [Fast, Safe]}
              replicas: {type: integer, minimum: 1, maximum: 100, default: 2}
              minReplicas: {type: integer, minimum: 1}
              owner:
                type: string
                maxLength: 20
                x-kubernetes-validations: [{rule: self == oldSelf, message: owner is immutable}]
              limits: {type: object, default: {}, properties: {retry: {type: integer, default: 3}}}
              template: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            properties:
              message: {type: string}
              replicas: {type: integer}
              selector: {type: string}
              conditions:
                type: array
                maxItems: 16
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type, status]
                  properties: {type: {type: string}, status: {type: string}, reason: {type: string}}
""")


def widget(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": metadata, "spec": {"mode": "Fast", **spec}}


def in_namespace(plural: str, group: str = "") -> str:
    """The path of a collection in the test's namespace."""
    base = f"/apis/{group}/v1" if group else "/api/v1"
    return f"{base}/namespaces/{NAMESPACE}/{plural}"
