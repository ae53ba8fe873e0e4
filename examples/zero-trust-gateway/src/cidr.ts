// IP addresses and the networks they are in, IPv4 and IPv6.

/** An address as a number of 32 or 128 bits. */
interface Address {
  bits: 32 | 128;
  value: bigint;
}

/** A set of networks; allows() says whether an address is in one of them. */
export class Networks {
  readonly #nets: (Address & { prefix: number })[];

  /** @param list addresses and CIDR blocks. Throws on the first that is neither, so that a typing error never opens a door. */
  constructor(list: readonly string[]) {
    this.#nets = list.map(parseNetwork);
  }

  /** Reports whether the address is in one of the networks. What is no address is in none. */
  allows(text: string): boolean {
    const a = parseAddress(text);
    if (a === null) return false;
    return this.#nets.some((n) => {
      if (n.bits !== a.bits) return false;
      const host = BigInt(n.bits - n.prefix);
      return a.value >> host === n.value >> host;
    });
  }
}

function parseNetwork(text: string): Address & { prefix: number } {
  const [address = "", length, ...rest] = text.split("/");
  const a = parseAddress(address);
  const mapped = a?.bits === 32 && address.includes(":");
  const most = mapped ? 128 : a?.bits;
  if (a === null || most === undefined || rest.length > 0 || (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length))) {
    throw new Error(`"${text}" is neither an IP address nor a CIDR block`);
  }
  // ::ffff:192.0.2.0/120 is 192.0.2.0/24 written in IPv6.
  const prefix = (length === undefined ? most : Number(length)) - (mapped ? 96 : 0);
  if (prefix < 0 || prefix > a.bits) throw new Error(`"${text}": the prefix length is out of range`);
  const host = BigInt(a.bits - prefix);
  if ((a.value >> host) << host !== a.value) throw new Error(`"${text}": bits are set behind the prefix`);
  return { ...a, prefix };
}

/**
 * Parses an address, or returns null. As strict as inet_pton: no leading zeros
 * (which some parsers read as octal), no zone. An IPv4-mapped IPv6 address is
 * the IPv4 address, because that is the client it stands for.
 */
export function parseAddress(text: string): Address | null {
  if (!text.includes(":")) {
    const value = parseIPv4(text);
    return value === null ? null : { bits: 32, value };
  }
  const value = parseIPv6(text);
  if (value === null) return null;
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

function parseIPv4(text: string): bigint | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIPv6(text: string): bigint | null {
  // A dotted tail counts as two groups.
  const tail = text.slice(text.lastIndexOf(":") + 1);
  if (tail.includes(".")) {
    const v4 = parseIPv4(tail);
    if (v4 === null) return null;
    text = text.slice(0, -tail.length) + `${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head = [], end = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - end.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  let value = 0n;
  for (const group of [...head, ...new Array<string>(missing).fill("0"), ...end]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}
