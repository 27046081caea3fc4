import type { RestClient } from '../client.ts';
import type { DescribeWriter } from './writer.ts';

export interface DescribeContext {
  readonly client: RestClient;
  readonly nowMs: number;
}

/** Writes all about one object, its Events excepted. Fetches what belongs to it. */
export type Describe<T> = (writer: DescribeWriter, object: T, context: DescribeContext) => Promise<void>;
