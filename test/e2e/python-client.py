"""The official Python client as Debian ships it: typed and dynamic calls, patches, watches. Ends with 0 when all went well."""
import json
import sys
import threading
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError

server, namespace = sys.argv[2], "default"
config.load_kube_config(sys.argv[1])
settings = client.Configuration.get_default_copy()
settings.host = server
api = client.ApiClient(settings)
core = client.CoreV1Api(api)


def check(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: {actual!r} is not {expected!r}")
    print("ok", what)


def until(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            print("ok", what)
            return
        time.sleep(0.05)
    sys.exit(f"{what}: not within {seconds} s")


def refused(what, code, call):
    try:
        call()
    except ApiException as error:
        check(what, error.status, code)
    else:
        sys.exit(f"{what}: was not refused")


def typed():
    check("version", client.VersionApi(api).get_code().major, "1")
    made = core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed", labels={"by": "python"}), data={"a": "1", "b": "2"}))
    check("created", made.metadata.creation_timestamp.tzinfo is not None, True)
    made.data["a"] = "3"
    core.replace_namespaced_config_map("typed", namespace, made)
    refused("stale replace", 409, lambda: core.replace_namespaced_config_map("typed", namespace, made))
    refused("create twice", 409, lambda: core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"))))
    refused("invalid name", 422, lambda: core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="Wrong_Name"))))
    check("patched", core.patch_namespaced_config_map("typed", namespace, {"data": {"b": None, "c": "4"}}).data, {"a": "3", "c": "4"})
    check("json patch", core.patch_namespaced_config_map("typed", namespace, [{"op": "replace", "path": "/data/a", "value": "5"}]).data, {"a": "5", "c": "4"})
    check("selected", [one.metadata.name for one in core.list_namespaced_config_map(namespace, label_selector="by in (python)").items], ["typed"])
    page = core.list_namespace(limit=2)
    rest = core.list_namespace(limit=500, _continue=page.metadata._continue)
    check("pages", len(page.items) + len(rest.items), len(core.list_namespace().items))
    check("deleted", core.delete_namespaced_config_map("typed", namespace).status, "Success")
    refused("gone", 404, lambda: core.read_namespaced_config_map("typed", namespace))


def dynamic_objects():
    dyn = dynamic.DynamicClient(api)
    deployments = dyn.resources.get(api_version="apps/v1", kind="Deployment")
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dynamic"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]}}}}
    made = deployments.create(body=body, namespace=namespace)
    check("dynamic create", made.spec.strategy.type, "RollingUpdate")
    containers = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}]}]}}}}
    strategic = deployments.patch(body=containers, name="dynamic", namespace=namespace, content_type="application/strategic-merge-patch+json")
    check("strategic merge patch", [e.name for e in strategic.spec.template.spec.containers[0].env], ["B", "A"])
    merged = deployments.patch(body={"spec": {"paused": True}}, name="dynamic", namespace=namespace, content_type="application/merge-patch+json")
    check("merge patch", merged.spec.paused, True)
    replaced = deployments.patch(body=[{"op": "remove", "path": "/spec/paused"}], name="dynamic", namespace=namespace, content_type="application/json-patch+json")
    check("json patch of a dynamic object", replaced.spec.paused, None)
    configuration = json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dynamic", "labels": {"by": "apply"}}})
    applied = deployments.server_side_apply(body=configuration, name="dynamic", namespace=namespace, field_manager="python")
    check("apply", applied.metadata.labels.by, "apply")
    check("its manager", [m.manager for m in applied.metadata.managedFields if m.operation == "Apply"], ["python"])
    scale = deployments.scale.get(name="dynamic", namespace=namespace)
    check("scale", (scale.kind, scale.spec.replicas or 0), ("Scale", 0))
    try:
        deployments.replace(body=made.to_dict(), namespace=namespace)
    except ConflictError:
        print("ok conflict")
    check("list", [one.metadata.name for one in deployments.get(namespace=namespace, label_selector="by=apply").items], ["dynamic"])
    deployments.delete(name="dynamic", namespace=namespace, body={"propagationPolicy": "Background"})
    try:
        deployments.get(name="dynamic", namespace=namespace)
        sys.exit("the deployment is still there")
    except NotFoundError:
        print("ok not found")
    return dyn


def custom_objects(dyn):
    crds = dyn.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}}}}
    crds.create(body={"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "wheels.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "wheels", "kind": "Wheel"}, "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]}})

    def found():
        try:
            dyn.resources.invalidate_cache()
            return dyn.resources.get(api_version="example.com/v1", kind="Wheel")
        except ResourceNotFoundError:
            return None
    until("custom resource discovered", found)
    wheels = found()
    check("custom object", wheels.create(body={"apiVersion": "example.com/v1", "kind": "Wheel", "metadata": {"name": "w"}, "spec": {}}, namespace=namespace).spec.size, 3)
    plain = client.CustomObjectsApi(api)
    check("custom objects api", plain.patch_namespaced_custom_object("example.com", "v1", namespace, "wheels", "w", {"spec": {"size": 7}})["spec"]["size"], 7)
    crds.delete(name="wheels.example.com")


def watches(dyn):
    seen = []
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    watcher = watch.Watch()

    def follow():
        for event in watcher.stream(core.list_namespaced_config_map, namespace, resource_version=start, label_selector="watched=yes", timeout_seconds=60):
            seen.append(f"{event['type']} {event['object'].metadata.name}")
            if len(seen) == 3:
                watcher.stop()
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "w", "labels": {"watched": "yes"}}})
    core.patch_namespaced_config_map("w", namespace, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("w", namespace)
    thread.join(20)
    check("watch", seen, ["ADDED w", "MODIFIED w", "DELETED w"])
    secrets = dyn.resources.get(api_version="v1", kind="Secret")
    secrets.create(body={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}, namespace=namespace)
    for event in secrets.watch(namespace=namespace, field_selector="metadata.name=s", timeout=20):
        check("dynamic watch", (event["type"], event["object"].data.k), ("ADDED", "dg=="))
        break
    began = time.monotonic()
    check("watch that ends by itself", [e["type"] for e in watch.Watch().stream(core.list_namespaced_secret, namespace, field_selector="metadata.name=s", timeout_seconds=1)], ["ADDED"])
    check("in its time", time.monotonic() - began < 15, True)


typed()
shared = dynamic_objects()
custom_objects(shared)
watches(shared)
print("all is well")
