import type { PodReport, PodReports } from '#agent/session/types.ts';

/** The latest report of each pod; tells of those that differ from the one before. */
export class ReportBoard implements PodReports {
  readonly #reports = new Map<string, { report: PodReport; text: string }>();
  readonly #listeners = new Set<(report: PodReport) => void>();

  all(): readonly PodReport[] {
    return [...this.#reports.values()].map(({ report }) => report);
  }

  subscribe(listener: (report: PodReport) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  /** Why a container has not started, as was reported last; undefined when nothing was. */
  waitingReason(podUid: string, container: string): string | undefined {
    const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = this.#reports.get(podUid)?.report.status ?? {};
    return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses].find(({ name }) => name === container)?.state?.waiting?.reason;
  }

  put(report: PodReport): void {
    const text = JSON.stringify(report);
    if (this.#reports.get(report.uid)?.text === text) return;
    this.#reports.set(report.uid, { report, text });
    for (const listener of this.#listeners) listener(report);
  }

  drop(uid: string): void {
    this.#reports.delete(uid);
  }
}
