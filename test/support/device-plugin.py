"""A device plugin of the kubelet's contract v1beta1, with gRPC's own C core and Google's protobuf: nothing of Cleat's.

usage: device-plugin.py FOLDER RESOURCE [MODE ...]

It obeys lines on standard input and says on standard output what it is asked, one JSON object a line:
  devices JSON   [{"id", "health", "numa"}...] is its list from now on
  answer JSON    what Allocate answers: {"envs", "mounts", "devices", "annotations", "cdi"}
  register       registers (again)
  resources      asks PodResources v1 (beside FOLDER) who has what, and what there is
  quit           ends
Modes: prestart (wants PreStartContainer), prefer (offers GetPreferredAllocation: the last ones first), slow (Allocate takes
two seconds), deny (Allocate fails), empty (Allocate answers nothing), liar (prefers devices that it does not have),
v0 (an unknown version), broken (does not say its options),
hang (its list never comes), aside (at another socket than others of its resource).
"""
import json, os, queue, sys, threading, time
from concurrent import futures

import grpc

# A checkout stays as it is.
sys.dont_write_bytecode = True
from grpc_messages import load

# Field numbers as Kubernetes publishes them: (name, number, type[, message]); a type in brackets is repeated, `map` is of strings.
MESSAGES = {
    "Empty": [],
    "DevicePluginOptions": [("pre_start_required", 1, "bool"), ("get_preferred_allocation_available", 2, "bool")],
    "RegisterRequest": [("version", 1, "string"), ("endpoint", 2, "string"), ("resource_name", 3, "string"), ("options", 4, "DevicePluginOptions")],
    "NUMANode": [("ID", 1, "int64")],
    "TopologyInfo": [("nodes", 1, "[NUMANode]")],
    "Device": [("ID", 1, "string"), ("health", 2, "string"), ("topology", 3, "TopologyInfo")],
    "ListAndWatchResponse": [("devices", 1, "[Device]")],
    "PreStartContainerRequest": [("devices_ids", 1, "[string]")],
    "PreStartContainerResponse": [],
    "ContainerPreferredAllocationRequest": [("available_deviceIDs", 1, "[string]"), ("must_include_deviceIDs", 2, "[string]"), ("allocation_size", 3, "int32")],
    "PreferredAllocationRequest": [("container_requests", 1, "[ContainerPreferredAllocationRequest]")],
    "ContainerPreferredAllocationResponse": [("deviceIDs", 1, "[string]")],
    "PreferredAllocationResponse": [("container_responses", 1, "[ContainerPreferredAllocationResponse]")],
    "ContainerAllocateRequest": [("devices_ids", 1, "[string]")],
    "AllocateRequest": [("container_requests", 1, "[ContainerAllocateRequest]")],
    "CDIDevice": [("name", 1, "string")],
    "Mount": [("container_path", 1, "string"), ("host_path", 2, "string"), ("read_only", 3, "bool")],
    "DeviceSpec": [("container_path", 1, "string"), ("host_path", 2, "string"), ("permissions", 3, "string")],
    "ContainerAllocateResponse": [("envs", 1, "map"), ("mounts", 2, "[Mount]"), ("devices", 3, "[DeviceSpec]"), ("annotations", 4, "map"), ("cdi_devices", 5, "[CDIDevice]")],
    "AllocateResponse": [("container_responses", 1, "[ContainerAllocateResponse]")],
}
# Of PodResources v1; a package of its own, but the numbers are what is on the wire.
MESSAGES.update({
    "ContainerDevices": [("resource_name", 1, "string"), ("device_ids", 2, "[string]"), ("topology", 3, "TopologyInfo")],
    "ContainerResources": [("name", 1, "string"), ("devices", 2, "[ContainerDevices]")],
    "PodResources": [("name", 1, "string"), ("namespace", 2, "string"), ("containers", 3, "[ContainerResources]")],
    "ListPodResourcesResponse": [("pod_resources", 1, "[PodResources]")],
    "AllocatableResourcesResponse": [("devices", 1, "[ContainerDevices]")],
})

M = load(MESSAGES)
folder, resource, modes = sys.argv[1], sys.argv[2], set(sys.argv[3:])
endpoint = resource.replace("/", "-") + ("-aside" if "aside" in modes else "") + ".sock"
devices = []
answer = {}
watchers = set()
lock = threading.Lock()


def say(what, **more):
    with lock:
        print(json.dumps({"event": what, **more}), flush=True)


def device_list():
    message = M["ListAndWatchResponse"]()
    for device in devices:
        added = message.devices.add(ID=device["id"], health=device.get("health", "Healthy"))
        if "numa" in device:
            added.topology.nodes.add(ID=device["numa"])
    return message


def list_and_watch(_request, context):
    changes = queue.Queue()
    watchers.add(changes)
    context.add_callback(lambda: changes.put(False))
    say("watched")
    if "hang" not in modes:
        yield device_list()
    while changes.get():
        yield device_list()
    watchers.discard(changes)


def allocate(request, context):
    ids = list(request.container_requests[0].devices_ids)
    say("allocate", ids=ids)
    if "slow" in modes:
        time.sleep(2)
    if "deny" in modes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the device is on fire")
    response = M["AllocateResponse"]()
    if "empty" in modes:
        return response
    own = response.container_responses.add()
    own.envs["PLUGIN_DEVICES"] = ",".join(ids)
    own.envs.update(answer.get("envs", {}))
    own.annotations.update(answer.get("annotations", {}))
    for mount in answer.get("mounts", []):
        own.mounts.add(**mount)
    for device in answer.get("devices", []):
        own.devices.add(**device)
    for name in answer.get("cdi", []):
        own.cdi_devices.add(name=name)
    return response


def prefer(request, _context):
    asked = request.container_requests[0]
    say("prefer", available=list(asked.available_deviceIDs), must=list(asked.must_include_deviceIDs), size=asked.allocation_size)
    response = M["PreferredAllocationResponse"]()
    ids = ["none-%d" % i for i in range(asked.allocation_size)] if "liar" in modes else sorted(asked.available_deviceIDs, reverse=True)[: asked.allocation_size]
    response.container_responses.add(deviceIDs=ids)
    return response


def pre_start(request, _context):
    say("prestart", ids=list(request.devices_ids))
    return M["PreStartContainerResponse"]()


def options(_request=None, context=None):
    if "broken" in modes and context:
        context.abort(grpc.StatusCode.INTERNAL, "no idea")
    return M["DevicePluginOptions"](pre_start_required="prestart" in modes, get_preferred_allocation_available="prefer" in modes or "liar" in modes)


def register():
    with grpc.insecure_channel("unix://" + os.path.join(folder, "kubelet.sock")) as channel:
        call = channel.unary_unary("/v1beta1.Registration/Register", M["RegisterRequest"].SerializeToString, M["Empty"].FromString)
        try:
            call(M["RegisterRequest"](version="v0" if "v0" in modes else "v1beta1", endpoint=endpoint, resource_name=resource, options=options()), timeout=10)
            say("registered")
        except grpc.RpcError as error:
            say("refused", code=error.code().name, details=error.details())


def resources():
    path = os.path.join(os.path.dirname(folder), "pod-resources", "kubelet.sock")
    with grpc.insecure_channel("unix://" + path) as channel:
        def ask(name, response):
            return channel.unary_unary("/v1.PodResourcesLister/" + name, M["Empty"].SerializeToString, M[response].FromString)(M["Empty"](), timeout=10)
        pods = {"%s/%s/%s" % (pod.namespace, pod.name, container.name): [[d.resource_name, *d.device_ids, *[n.ID for n in d.topology.nodes]] for d in container.devices]
                for pod in ask("List", "ListPodResourcesResponse").pod_resources for container in pod.containers}
        say("resources", pods=pods, allocatable=[list(d.device_ids)[0] for d in ask("GetAllocatableResources", "AllocatableResourcesResponse").devices])


def method(handler, request, response, stream=False):
    make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
    return make(handler, request_deserializer=M[request].FromString, response_serializer=M[response].SerializeToString)


def serve():
    path = os.path.join(folder, endpoint)
    if os.path.exists(path):
        os.unlink(path)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", {
        "GetDevicePluginOptions": method(options, "Empty", "DevicePluginOptions"),
        "ListAndWatch": method(list_and_watch, "Empty", "ListAndWatchResponse", True),
        "Allocate": method(allocate, "AllocateRequest", "AllocateResponse"),
        "GetPreferredAllocation": method(prefer, "PreferredAllocationRequest", "PreferredAllocationResponse"),
        "PreStartContainer": method(pre_start, "PreStartContainerRequest", "PreStartContainerResponse"),
    }),))
    server.add_insecure_port("unix://" + path)
    server.start()
    return server


server = serve()
say("serving")
for line in sys.stdin:
    command, _, rest = line.strip().partition(" ")
    if command == "devices":
        devices = json.loads(rest)
        for watcher in list(watchers):
            watcher.put(True)
    elif command == "answer":
        answer = json.loads(rest)
    elif command == "serve":
        server.stop(0)
        server = serve()
        say("serving")
    elif command == "register":
        register()
    elif command == "resources":
        resources()
    elif command == "quit":
        break
os._exit(0)
