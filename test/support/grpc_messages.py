"""Protocol messages from a table of field numbers, with Google's protobuf: for programs that speak Cleat's contracts without anything of Cleat's."""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCALARS = {"bool": 8, "string": 9, "int64": 3, "int32": 5}


def load(messages):
    """A class for each name of {name: [(field, number, type)]}; a type in brackets is repeated, `map` is of strings, other names are messages."""
    file = descriptor_pb2.FileDescriptorProto(name="messages.proto", package="t", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=3 if kind[0] == "[" or kind == "map" else 1)
            plain = kind.strip("[]")
            if plain == "map":
                entry = message.nested_type.add(name="".join(part.capitalize() for part in field_name.split("_")) + "Entry")
                entry.options.map_entry = True
                for key, at in (("key", 1), ("value", 2)):
                    entry.field.add(name=key, number=at, label=1, type=9)
                field.type, field.type_name = 11, ".t.%s.%s" % (name, entry.name)
            elif plain in SCALARS:
                field.type = SCALARS[plain]
            else:
                field.type, field.type_name = 11, ".t." + plain
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("t." + name)) for name in messages}
