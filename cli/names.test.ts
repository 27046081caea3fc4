import { describe, expect, it } from 'vitest';
import { checkedName, checkPath } from './names.ts';

describe('names in paths of the API', () => {
  it.each([
    ['', 'resource name may not be empty'], ['.', 'invalid resource name ".": [may not be \'.\']'], ['..', 'invalid resource name "..": [may not be \'..\']'],
    ['a/b', 'invalid resource name "a/b": [may not contain \'/\']'], ['a%2fb', 'invalid resource name "a%2fb": [may not contain \'%\']'],
  ])('refuses %j', (name, message) => {
    expect(() => checkedName(name)).toThrow(message);
    expect(() => { checkPath(`/api/v1/namespaces/default/pods/${encodeURIComponent(name)}?dryRun=All`); }).toThrow(message);
  });
  it('takes names, and says what it refuses', () => {
    expect(checkedName('web-0.a_B')).toBe('web-0.a_B');
    expect(() => checkedName('..', 'namespace')).toThrow('invalid namespace ".."');
    expect(() => { checkPath('/api/v1/namespaces/default/pods/system%3Anode/log?x=/../'); }).not.toThrow();
  });
  it.each(['/api/v1/namespaces//pods', '/api/v1/nodes/', '/api/v1/../x', '/api/v1/nodes/%2e%2E', '/api/v1/nodes/%2'])('finds in %s what would be another path', (path) => {
    expect(() => { checkPath(path); }).toThrow(/may not/);
  });
});
