// Unpacks LZ4's legacy frame, as `lz4 -l` writes it: a magic number, then blocks with their length
// before them. The end is a length of zero, which the build appends.

typedef unsigned char byte;

static unsigned read_32(const byte *at) { return *(const unsigned *)at; }

// A match may overlap what it makes, so it is copied forwards, in words only where they are apart.
static void copy(byte *to, const byte *from, unsigned long count) {
  if ((unsigned long)(to - from) >= 8) {
    for (; count >= 8; count -= 8, to += 8, from += 8)
      *(unsigned long *)to = *(const unsigned long *)from;
  }
  while (count--) *to++ = *from++;
}

// A length that does not fit in its four bits goes on in bytes of 255 and a last smaller one.
static unsigned long length(unsigned nibble, const byte **in) {
  unsigned long total = nibble;
  if (nibble == 15) {
    byte more;
    do total += more = *(*in)++;
    while (more == 255);
  }
  return total;
}

static byte *unpack_block(const byte *in, const byte *end, byte *out) {
  for (;;) {
    const byte token = *in++;
    const unsigned long literals = length(token >> 4, &in);
    copy(out, in, literals);
    out += literals;
    in += literals;
    if (in >= end) return out;
    const byte *match = out - (in[0] | in[1] << 8);
    in += 2;
    const unsigned long matched = length(token & 15, &in) + 4;
    copy(out, match, matched);
    out += matched;
  }
}

void unpack(const byte *in, byte *out) {
  unsigned size;
  for (in += 4; (size = read_32(in)) != 0; in += size) {
    in += 4;
    out = unpack_block(in, in + size, out);
  }
}
