/** What the status channel of exec says of a command that ended: a Status in the form that Kubernetes' clients take exit codes from. */
export function exitStatus(exitCode: number): object {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {}, status: 'Failure', reason: 'NonZeroExitCode', message: `command terminated with non-zero exit code: exit status ${String(exitCode)}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}
