/** What keeps the content of unfinished pulls from being collected is called so, and what follows. */
export const pullLeasePrefix = 'cleat-pull-';
