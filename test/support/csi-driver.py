"""A CSI driver (node service) and its registrar, with gRPC's own C core and Google's protobuf: nothing of Cleat's.

usage: csi-driver.py KUBELET_DIR NAME VOLUMES [MODE ...]

Its volumes are folders of VOLUMES; staging and publishing are bind mounts. Each call is one JSON object on standard output.
Lines on standard input: `modes M ...` replaces the modes, `register` makes the registration socket (again), `quit` ends.
Modes: nostage (cannot stage), mountgroup, multiwriter (capabilities); slow (publishing takes a minute, or until the caller has gone),
liar (says that it published and does not), litter (unpublishes without unmounting), deny (publishing fails),
full (growing asks for too much), busy (it cannot grow in use), stuck (growing fails),
v0 (an unknown version), device (says that it is a device plugin), nameless (has no node id).
"""
import json, os, stat as stat_module, subprocess, sys, threading, time
from concurrent import futures

import grpc

# A checkout stays as it is.
sys.dont_write_bytecode = True
from grpc_messages import load

# Field numbers as CSI and Kubernetes publish them: (name, number, type); a type in brackets is repeated, `map` is of strings.
MESSAGES = {
    "Empty": [],
    "PluginInfo": [("type", 1, "string"), ("name", 2, "string"), ("endpoint", 3, "string"), ("supported_versions", 4, "[string]")],
    "RegistrationStatus": [("plugin_registered", 1, "bool"), ("error", 2, "string")],
    "Topology": [("segments", 1, "map")],
    "NodeInfo": [("node_id", 1, "string"), ("max_volumes_per_node", 2, "int64"), ("accessible_topology", 3, "Topology")],
    "RPC": [("type", 1, "int32")],
    "Capability": [("rpc", 1, "RPC")],
    "Capabilities": [("capabilities", 1, "[Capability]")],
    "MountVolume": [("fs_type", 1, "string"), ("mount_flags", 2, "[string]"), ("volume_mount_group", 3, "string")],
    "AccessMode": [("mode", 1, "int32")],
    "VolumeCapability": [("block", 1, "Empty"), ("mount", 2, "MountVolume"), ("access_mode", 3, "AccessMode")],
    "Stage": [("volume_id", 1, "string"), ("publish_context", 2, "map"), ("staging_target_path", 3, "string"), ("volume_capability", 4, "VolumeCapability"), ("secrets", 5, "map"), ("volume_context", 6, "map")],
    "Unstage": [("volume_id", 1, "string"), ("staging_target_path", 2, "string")],
    "Publish": [("volume_id", 1, "string"), ("publish_context", 2, "map"), ("staging_target_path", 3, "string"), ("target_path", 4, "string"), ("volume_capability", 5, "VolumeCapability"), ("readonly", 6, "bool"), ("secrets", 7, "map"), ("volume_context", 8, "map")],
    "CapacityRange": [("required_bytes", 1, "int64"), ("limit_bytes", 2, "int64")],
    "Expand": [("volume_id", 1, "string"), ("volume_path", 2, "string"), ("capacity_range", 3, "CapacityRange"), ("staging_target_path", 4, "string"), ("volume_capability", 5, "VolumeCapability"), ("secrets", 6, "map")],
    "Expanded": [("capacity_bytes", 1, "int64")],
    "StatsOf": [("volume_id", 1, "string"), ("volume_path", 2, "string"), ("staging_target_path", 3, "string")],
    "Usage": [("available", 1, "int64"), ("total", 2, "int64"), ("used", 3, "int64"), ("unit", 4, "int32")],
    "Condition": [("abnormal", 1, "bool"), ("message", 2, "string")],
    "Stats": [("usage", 1, "[Usage]"), ("volume_condition", 2, "Condition")],
    "Unpublish": [("volume_id", 1, "string"), ("target_path", 2, "string")],
}

M = load(MESSAGES)
kubelet, driver_name, volumes, modes = sys.argv[1], sys.argv[2], sys.argv[3], set(sys.argv[4:])
lock = threading.Lock()


def say(what, **more):
    with lock:
        print(json.dumps({"event": what, **more}), flush=True)


def is_mounted(path):
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == path for line in table)


def bind(source, target, *options):
    os.makedirs(target, exist_ok=True)
    if not is_mounted(target):
        subprocess.run(["mount", "--bind", source, target], check=True)
        if options:
            subprocess.run(["mount", "-o", ",".join(("remount", "bind") + options), target], check=True)


def bind_device(source, target):
    open(target, "a").close()
    if not is_mounted(target):
        subprocess.run(["mount", "--bind", source, target], check=True)


def unbind(target):
    if is_mounted(target):
        subprocess.run(["umount", target], check=True)


def told(request):
    capability = request.volume_capability
    return {"id": request.volume_id, "publishContext": dict(request.publish_context), "secrets": dict(request.secrets), "context": dict(request.volume_context),
            "fsType": capability.mount.fs_type, "flags": list(capability.mount.mount_flags), "group": capability.mount.volume_mount_group, "mode": capability.access_mode.mode, "block": capability.HasField("block")}


def source_of(request):
    path = os.path.join(volumes, request.volume_id)
    if not request.volume_capability.HasField("block"):
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(volumes, exist_ok=True)
        os.mknod(path, 0o600 | stat_module.S_IFBLK, os.makedev(7, 250))
    return path


def stage(request, _context):
    say("stage", path=request.staging_target_path, **told(request))
    source = source_of(request)
    if not request.volume_capability.HasField("block"):
        bind(source, request.staging_target_path)
    say("staged", id=request.volume_id)
    return M["Empty"]()


def publish(request, context):
    # Whoever hears of the call may change them at once.
    asked = set(modes)
    say("publish", path=request.target_path, staging=request.staging_target_path, readonly=request.readonly, **told(request))
    if "slow" in asked:
        end = time.monotonic() + 60
        while context.is_active() and time.monotonic() < end:
            time.sleep(0.05)
        if not context.is_active():
            return M["Empty"]()
    if "deny" in asked:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the disk is on fire")
    if request.volume_capability.HasField("block"):
        bind_device(source_of(request), request.target_path)
    elif "liar" not in asked:
        bind(request.staging_target_path or source_of(request), request.target_path, *(["ro"] if request.readonly else []))
    say("published", id=request.volume_id)
    return M["Empty"]()


def unpublish(request, _context):
    say("unpublish", id=request.volume_id, path=request.target_path)
    if "litter" not in modes:
        unbind(request.target_path)
        if os.path.isdir(request.target_path):
            os.rmdir(request.target_path)
        elif os.path.exists(request.target_path):
            os.unlink(request.target_path)
    return M["Empty"]()


def unstage(request, _context):
    say("unstage", id=request.volume_id, path=request.staging_target_path)
    if "litter" not in modes:
        unbind(request.staging_target_path)
    return M["Empty"]()


def expand(request, context):
    asked = set(modes)
    say("expand", id=request.volume_id, path=request.volume_path, bytes=request.capacity_range.required_bytes, limit=request.capacity_range.limit_bytes, staging=request.staging_target_path,
        secrets=dict(request.secrets), fsType=request.volume_capability.mount.fs_type, mode=request.volume_capability.access_mode.mode)
    for mode, code in (("full", grpc.StatusCode.OUT_OF_RANGE), ("busy", grpc.StatusCode.FAILED_PRECONDITION), ("stuck", grpc.StatusCode.INTERNAL)):
        if mode in asked:
            context.abort(code, "it is " + mode)
    return M["Expanded"](capacity_bytes=request.capacity_range.required_bytes)


def stats(request, _context):
    say("stats", id=request.volume_id, path=request.volume_path, staging=request.staging_target_path)
    usage = [M["Usage"](available=600, total=1000, used=400, unit=1), M["Usage"](available=7, total=10, used=3, unit=2)]
    return M["Stats"](usage=usage, volume_condition=M["Condition"](abnormal=True, message="smells"))


def node_info(_request, _context):
    info = M["NodeInfo"](node_id="" if "nameless" in modes else "id-of-" + driver_name, max_volumes_per_node=7)
    info.accessible_topology.segments["topology." + driver_name + "/rack"] = "r1"
    return info


def capabilities(_request, _context):
    wanted = [(1, "nostage" not in modes), (2, True), (3, True), (4, True), (5, "multiwriter" in modes), (6, "mountgroup" in modes)]
    return M["Capabilities"](capabilities=[M["Capability"](rpc=M["RPC"](type=number)) for number, has in wanted if has])


def info(_request, _context):
    return M["PluginInfo"](type="DevicePlugin" if "device" in modes else "CSIPlugin", name=driver_name, endpoint=endpoint, supported_versions=["0.3.0" if "v0" in modes else "1.0.0"])


def status(request, _context):
    say("registered" if request.plugin_registered else "refused", error=request.error)
    return M["Empty"]()


def method(handler, request, response="Empty"):
    return grpc.unary_unary_rpc_method_handler(handler, request_deserializer=M[request].FromString, response_serializer=M[response].SerializeToString)


def serve(path, service, methods):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.unlink(path)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_insecure_port("unix://" + path)
    server.start()
    return server


def register():
    return serve(os.path.join(kubelet, "plugins_registry", driver_name + "-reg.sock"), "pluginregistration.Registration", {
        "GetInfo": method(info, "Empty", "PluginInfo"), "NotifyRegistrationStatus": method(status, "RegistrationStatus"),
    })


endpoint = os.path.join(kubelet, "plugins", driver_name, "csi.sock")
server = serve(endpoint, "csi.v1.Node", {
    "NodeGetInfo": method(node_info, "Empty", "NodeInfo"), "NodeGetCapabilities": method(capabilities, "Empty", "Capabilities"),
    "NodeStageVolume": method(stage, "Stage"), "NodeUnstageVolume": method(unstage, "Unstage"),
    "NodeExpandVolume": method(expand, "Expand", "Expanded"), "NodeGetVolumeStats": method(stats, "StatsOf", "Stats"),
    "NodePublishVolume": method(publish, "Publish"), "NodeUnpublishVolume": method(unpublish, "Unpublish"),
})
registration = register()
say("serving")
for line in sys.stdin:
    command, _, rest = line.strip().partition(" ")
    if command == "modes":
        modes = set(rest.split())
        say("modes")
    elif command == "register":
        registration.stop(0)
        registration = register()
    elif command == "quit":
        os.unlink(os.path.join(kubelet, "plugins_registry", driver_name + "-reg.sock"))
        break
os._exit(0)
