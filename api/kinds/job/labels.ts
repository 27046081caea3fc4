/** The newer name first; both are set. */
export const jobNameLabels = ['batch.kubernetes.io/job-name', 'job-name'] as const;
export const controllerUidLabels = ['batch.kubernetes.io/controller-uid', 'controller-uid'] as const;
