import { expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { architecturesOf, imageArchitecture, madeFor, nothingForThisHost, runsHere, saysNothingMatches, wrongArchitecture } from './image-architecture.ts';

it('says in words that an image is for another kind of host, and what it has', () => {
  const host = `linux/${imageArchitecture()}`;
  expect(wrongArchitecture('r/i:1', ['made-up', 'other', 'other'])).toMatchObject({ code: 'Invalid', message: `wrong architecture: image r/i:1 is for linux/made-up, linux/other, and this host is ${host}; build or choose an image for it` });
  expect([wrongArchitecture('r/i:1', []), wrongArchitecture('r/i:1', ['other', imageArchitecture()])]).toEqual([undefined, undefined]);
  const words = new StatusError('NotFound', 'failed to pull: no match for platform in manifest: not found');
  expect(nothingForThisHost('r/i:1', ['other'], words).message).toContain('is for linux/other, and this host is');
  expect(nothingForThisHost('r/i:1', [], words).message).toBe(`wrong architecture: image r/i:1 has nothing for this host, which is ${host}; build or choose an image for it (${words.message})`);
});

it('knows how engines say it', () => {
  for (const words of ['no match for platform in manifest: not found', 'no matching manifest for linux/arm64/v8 in the manifest list entries', 'no image found in manifest list for architecture arm64']) expect(words).toMatch(saysNothingMatches);
  expect('manifest unknown').not.toMatch(saysNothingMatches);
});

it('reads an index, and takes nothing else for one', () => {
  const platform = (architecture: string, os = 'linux'): object => ({ platform: { architecture, os } });
  expect(architecturesOf({ manifests: [platform('amd64'), platform('unknown', 'unknown'), platform('amd64', 'windows'), {}, platform('arm')] })).toEqual(['amd64', 'arm']);
  expect([architecturesOf({}), architecturesOf({ manifests: 1 })]).toEqual([[], []]);
});

it('says for which hosts an image is made that runs here', () => {
  const host = imageArchitecture();
  const index = { manifests: ['s390x', host].map((architecture) => ({ platform: { architecture, os: 'linux' } })) };
  expect(madeFor(index, [host])).toEqual({ architectures: [host, 's390x'] });
  // Not by its index, but somehow: by an emulator, or because the processor can do more.
  expect(madeFor({ manifests: [{ platform: { architecture: '386', os: 'linux' } }] }, [])).toEqual({ architectures: ['386', host] });
  expect([madeFor({ layers: [] }, [host]), madeFor({}, [])]).toEqual([{ architectures: [host] }, {}]);
});

it('knows what a processor runs besides its own', () => {
  expect(runsHere(imageArchitecture())).toBe(true);
  expect(runsHere('made-up')).toBe(false);
  if (imageArchitecture() === 'amd64') expect(runsHere('386')).toBe(true);
});
