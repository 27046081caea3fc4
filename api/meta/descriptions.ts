import type { Schema } from './schema.ts';

/** What the fields that every object has are for, as `kubectl explain` shows it. */
const ofEveryObject: Readonly<Record<string, string>> = {
  apiVersion: 'APIVersion defines the group and version of the schema that the object is written in.',
  kind: 'Kind names the sort of object; it cannot be changed.',
  metadata: "Standard object's metadata.",
};

/** By definition and field. */
const ofDefinitions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ObjectMeta: {
    annotations: 'Annotations are notes by name for programs and people. Nothing is selected by them.',
    creationTimestamp: 'CreationTimestamp is a timestamp that the server sets when the object is made.',
    deletionGracePeriodSeconds: 'Seconds that the object has to end by itself, once its deletion was asked for. Set by the server.',
    deletionTimestamp: 'DeletionTimestamp is when the object will be gone, or may go once its finalizers are. Set by the server when a deletion is asked for.',
    finalizers: 'Finalizers name who has something to do before the object goes. Each takes its own name away when it has done it.',
    generateName: 'GenerateName is the beginning of the name that the server makes up when none is given.',
    generation: 'Generation counts the changes of what is wanted of the object. Set by the server.',
    labels: 'Labels are short values by name, which selectors find objects by.',
    managedFields: 'ManagedFields say who set which fields. Kept by the server, mostly for server-side apply.',
    name: 'Name is unique among the objects of this kind in its namespace. It cannot be changed.',
    namespace: 'Namespace is where the name is unique. Empty for kinds that belong to the whole cluster; it cannot be changed.',
    ownerReferences: 'OwnerReferences name the objects that this one belongs to. It is collected when all of them are gone.',
    resourceVersion: 'ResourceVersion stands for the state of the object. An update that names another one than the present is refused; watches begin from one.',
    uid: 'UID tells the object from all others that ever were, those of the same name too. Set by the server.',
  },
  ListMeta: {
    continue: 'Continue is set when there is more: the token that the next page is asked for with.',
    remainingItemCount: 'RemainingItemCount is how many items come after this page, where that is known.',
    resourceVersion: 'ResourceVersion is the state of everything that the list is true for. A watch goes on from there.',
  },
};

/** `schema`, the definition `name` or a kind's own, with words beside the fields that have none. */
export function describeFields(name: string, schema: Schema): Schema {
  const words = Object.hasOwn(ofDefinitions, name) ? ofDefinitions[name] : schema.properties?.['metadata'] ? ofEveryObject : undefined;
  if (!words || !schema.properties) return schema;
  const properties = Object.entries(schema.properties).map(([field, part]) => [field, part.description === undefined && Object.hasOwn(words, field) ? { ...part, description: words[field] } : part]);
  return { ...schema, properties: Object.fromEntries(properties) as Record<string, Schema> };
}
