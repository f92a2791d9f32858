"""The Helm chart: linted and rendered by Helm itself, and compared with the kustomize form."""

import shutil
import subprocess
import unittest

import yaml

from support import ROOT, run

try:
    import helm_python as helm
except (ImportError, OSError):  # no wheel for this machine
    helm = None

CHART = ROOT / "deploy/helm/greenloop"
DIGEST = "sha256:" + "0" * 64
IMAGE = {"image": {"digest": DIGEST}}
# What the chart adds, and why the form with kustomize does not have it.
OWN_LABELS = {"app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "helm.sh/chart"}


def merged(one: dict, other: dict) -> dict:
    made = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = merged(made[key], value) if both else value
    return made


def render(values: dict, namespace="greenloop") -> dict[tuple, dict]:
    chart = helm.Chart.load(CHART)
    values = chart.merge_values(merged(IMAGE, values))
    chart.validate_schema(values)
    files = chart.render(values, name="greenloop", namespace=namespace)
    return objects("\n---\n".join(text for name, text in files.items() if name.endswith(".yaml")))


def objects(text: str) -> dict[tuple, dict]:
    found = {}
    for document in filter(None, yaml.safe_load_all(text)):
        key = (document["kind"], document["metadata"]["name"])
        assert key not in found, key
        found[key] = document
    return found


def without_own_labels(object: dict) -> dict:
    labels = object["metadata"].get("labels", {})
    for label in OWN_LABELS:
        labels.pop(label, None)
    if not labels:
        object["metadata"].pop("labels", None)
    return object


@unittest.skipIf(helm is None, "helm-python-sdk is not installed")
class Chart(unittest.TestCase):
    maxDiff = None

    def test_lints_without_a_finding(self):
        for values in ({}, {"hub": {"store": "postgres"}}, {"workers": {"keda": {"enabled": True}}}):
            report = helm.lint(CHART, merged(IMAGE, values), strict=True, namespace="greenloop")
            serious = [it for it in report["messages"] if it["severity"] > 1]
            self.assertEqual((serious, report["errors"]), ([], []))

    def test_a_helm_program_agrees(self):
        if not shutil.which("helm"):
            self.skipTest("helm is not installed; the library was asked")
        run("helm", "lint", "--strict", CHART, "--set", f"image.digest={DIGEST}")

    def test_renders_what_kustomize_renders(self):
        if not shutil.which("kubectl"):
            self.skipTest("kubectl is not installed (kustomize)")
        none = {"workers": {"roles": []}}
        worker = lambda role, keda: {
            "hub": {"enabled": False},
            "workers": {
                "hubUrl": "https://greenloop-hub.greenloop.svc:7474",
                "roles": [{"name": role}],
                "keda": {"enabled": keda},
            },
        }
        for folder, values in {
            "hub/sqlite": none,
            "hub/postgres": merged(none, {"hub": {"store": "postgres"}}),
            "worker/backend": worker("backend", False),
            "worker/frontend": worker("frontend", False),
            "worker/backend-keda": worker("backend", True),
            "worker/frontend-keda": worker("frontend", True),
        }.items():
            with self.subTest(folder):
                expected = objects(
                    subprocess.run(
                        ["kubectl", "kustomize", ROOT / "k8s" / folder],
                        stdout=subprocess.PIPE, check=True, text=True,
                    ).stdout
                )  # fmt: skip
                # Helm's namespace exists before the chart, with labels of its own (values.yaml).
                expected.pop(("Namespace", "greenloop"), None)
                # kustomize deletes what is deleted from it; `helm uninstall` would delete data.
                actual = {key: without_own_labels(it) for key, it in render(values).items()}
                for claim in actual.values():
                    if claim["kind"] == "PersistentVolumeClaim":
                        kept = claim["metadata"].pop("annotations")
                        self.assertEqual(kept, {"helm.sh/resource-policy": "keep"})
                self.assertEqual(set(actual), set(expected))
                for key, object in expected.items():
                    self.assertEqual(actual[key], object, key)

    def test_values_are_used(self):
        made = render(
            {
                "image": {"pullSecrets": ["registry"], "pullPolicy": "Always"},
                "hub": {
                    "persistence": {"size": "50Gi", "storageClass": "fast"},
                    "tlsSecret": "my-tls",
                    "service": {"type": "LoadBalancer"},
                },
                "workers": {
                    "grace": 120,
                    "tokenSecret": "my-token",
                    "roles": [{"name": "gpu", "replicas": 3}, {"name": "docs"}],
                },
                "networkPolicy": {"enabled": False},
            },
            namespace="loop",
        )
        self.assertTrue(all(it["metadata"]["namespace"] == "loop" for it in made.values()))
        hub = made["Deployment", "greenloop-hub"]["spec"]["template"]["spec"]
        self.assertEqual(hub["imagePullSecrets"], [{"name": "registry"}])
        self.assertEqual(hub["containers"][0]["imagePullPolicy"], "Always")
        self.assertEqual(hub["volumes"][0]["secret"]["secretName"], "my-tls")
        self.assertEqual(made["Service", "greenloop-hub"]["spec"]["type"], "LoadBalancer")
        claim = made["PersistentVolumeClaim", "greenloop-hub"]["spec"]
        self.assertEqual(claim["storageClassName"], "fast")
        self.assertEqual(claim["resources"]["requests"]["storage"], "50Gi")
        gpu = made["Deployment", "greenloop-worker-gpu"]["spec"]
        self.assertEqual(gpu["replicas"], 3)
        pod = gpu["template"]["spec"]
        self.assertEqual(pod["terminationGracePeriodSeconds"], 180)
        self.assertEqual(pod["containers"][0]["args"][-1], "120")
        token = next(it for it in pod["containers"][0]["env"] if it["name"] == "GREENLOOP_HUB_TOKEN")
        self.assertEqual(token["valueFrom"]["secretKeyRef"]["name"], "my-token")
        hub_url = made["ConfigMap", "greenloop-worker-docs"]["data"]["hub"]
        self.assertEqual(hub_url, "https://greenloop-hub.loop.svc:7474")
        self.assertNotIn("replicas", made["Deployment", "greenloop-worker-docs"]["spec"])
        self.assertFalse([key for key in made if key[0] in ("NetworkPolicy", "ScaledObject")])

    def test_wrong_values_are_refused(self):
        for values, says in [
            ({"image": {"digest": ""}}, "image.digest is required"),
            ({"image": {"digest": "v1"}}, "digest"),
            ({"hub": {"store": "mysql"}}, "store"),
            ({"hub": {"replica": 2}}, "replica"),
            ({"workers": {"roles": [{"name": "Back End"}]}}, "name"),
            ({"workers": {"grace": 0}}, "grace"),
            ({"hub": {"enabled": False}}, "workers.hubUrl is required"),
            (
                {"workers": {"keda": {"enabled": True}, "roles": [{"name": "a", "replicas": 1}]}},
                "replicas cannot be set",
            ),
        ]:
            with self.subTest(says), self.assertRaises(helm.HelmError) as caught:
                render(values)
            self.assertIn(says, str(caught.exception))

    def test_every_value_has_a_schema_and_a_default(self):
        import json

        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())

        def compare(path, schema, values):
            known = set(schema["properties"]) - {"global"}
            self.assertEqual(known, set(values), path)
            for key in known:
                if "properties" in schema["properties"][key] and key != "resources":
                    compare(f"{path}.{key}", schema["properties"][key], values[key])

        compare("", schema, values)


if __name__ == "__main__":
    unittest.main()
