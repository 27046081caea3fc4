import { StringDecoder } from 'node:string_decoder';

/** Where a proxied server's own paths are to be found from outside. */
export interface ProxyPlace {
  /** What comes before the server's own path: `/api/v1/namespaces/default/pods/web/proxy`. */
  readonly prefix: string;
  /** The host that the client asked, and the one that the proxy asked. */
  readonly requestHost: string;
  readonly targetHost: string;
}

/** Attributes that hold a URL, by element. Source: the HTML standard's index of attributes. */
const urlAttributes: Readonly<Record<string, readonly string[]>> = {
  a: ['href'], applet: ['codebase'], area: ['href'], audio: ['src'], base: ['href'], blockquote: ['cite'], body: ['background'], button: ['formaction'], command: ['icon'],
  del: ['cite'], embed: ['src'], form: ['action'], frame: ['longdesc', 'src'], head: ['profile'], html: ['manifest'], iframe: ['longdesc', 'src'],
  img: ['longdesc', 'src', 'usemap'], input: ['src', 'usemap', 'formaction'], ins: ['cite'], link: ['href'], object: ['classid', 'codebase', 'data', 'usemap'], q: ['cite'],
  script: ['src'], source: ['src'], track: ['src'], video: ['poster', 'src'],
};

/** The URL as the client must ask for it through the proxy. Relative ones and those of other hosts stay as they are. */
export function rewriteUrl(url: string, { prefix, requestHost, targetHost }: ProxyPlace): string {
  const [, , host = '', path = ''] = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^]*)$/i.exec(url) ?? [];
  const isElsewhere = host !== '' && host !== requestHost && host !== targetHost;
  if (isElsewhere || !path.startsWith('/') || path.startsWith(prefix)) return url;
  return prefix + path;
}

/** The longest tag that is looked at. */
const maxTagChars = 64 << 10;

/** A page whose links work through the proxy. The page may come in any pieces; its bytes stay as they are but for the links. */
export async function* rewriteHtml(page: AsyncIterable<Uint8Array>, place: ProxyPlace): AsyncGenerator<Uint8Array, void, undefined> {
  // One character per byte: whatever the page's encoding is, tags are ASCII in it.
  const decoder = new StringDecoder('latin1');
  let rest = '';
  for await (const chunk of page) {
    const text = rest + decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
    const open = text.lastIndexOf('<');
    const cut = open >= 0 && !text.includes('>', open) && text.length - open < maxTagChars ? open : text.length;
    rest = text.slice(cut);
    if (cut > 0) yield Buffer.from(rewriteTags(text.slice(0, cut), place), 'latin1');
  }
  if (rest !== '') yield Buffer.from(rewriteTags(rest, place), 'latin1');
}

function rewriteTags(text: string, place: ProxyPlace): string {
  return text.replace(/<([a-z]+)(\s[^<>]*)>/gi, (tag, name: string, attributes: string) => {
    const wanted = Object.hasOwn(urlAttributes, name.toLowerCase()) ? urlAttributes[name.toLowerCase()] : undefined;
    if (!wanted) return tag;
    const rewritten = attributes.replace(/(\s)([a-z]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)/gi, (whole, space: string, attribute: string, equals: string, value: string) => {
      if (!wanted.includes(attribute.toLowerCase())) return whole;
      const quote = /^["']/.exec(value)?.[0] ?? '';
      return `${space}${attribute}${equals}${quote}${rewriteUrl(quote === '' ? value : value.slice(1, -1), place)}${quote}`;
    });
    return `<${name}${rewritten}>`;
  });
}
