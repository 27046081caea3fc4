/**
 * Node's `http`. Importing it as a module reads each of its exports once, and one of them (`WebSocket`) loads a whole
 * HTTP client: 4 MB for the life of the process. Types may be imported from `node:http` as usual.
 */
export const http = process.getBuiltinModule('node:http');
