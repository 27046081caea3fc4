/** What the resize channel of a command brings: `{"Width":80,"Height":24}`; undefined for anything else. */
export function terminalSize(message: Uint8Array): { readonly width: number; readonly height: number } | undefined {
  let size: unknown;
  try {
    size = JSON.parse(Buffer.from(message).toString());
  } catch {
    return undefined;
  }
  const { Width: width, Height: height } = (size ?? {}) as { Width?: unknown; Height?: unknown };
  return typeof width === 'number' && typeof height === 'number' && width > 0 && height > 0 ? { width, height } : undefined;
}
