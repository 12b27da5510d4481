/* SPDX-License-Identifier: Apache-2.0 */
#include "util.h"

#include <errno.h>
#include <iicp/frame.h>
#include <zlib.h>

#define GZIP_ONLY (MAX_WBITS + 16)
#define STEP ((size_t) 64 * 1024)

bool iicp_is_gzip(struct iicp_str bytes) {
        return bytes.n >= 2 && bytes.p[0] == '\x1f' && bytes.p[1] == '\x8b';
}

/* Inflates piece by piece, so that a bomb costs what is allowed and no more. */
static int inflate_all(z_stream *z, size_t max, struct iicp_buf *out) {
        size_t made = 0;
        int r = Z_OK;

        while (r != Z_STREAM_END) {
                size_t room = MIN(STEP, max - made + 1);
                char *to = iicp_buf_reserve(out, room);

                if (!to)
                        return out->error;
                z->next_out = (Bytef *) to;
                z->avail_out = (uInt) room;
                r = inflate(z, Z_NO_FLUSH);
                if (r != Z_OK && r != Z_STREAM_END)
                        return r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
                made += room - z->avail_out;
                out->n += room - z->avail_out;
                out->p[out->n] = '\0';
                if (made > max)
                        return -E2BIG;
        }
        /* one member and nothing behind it */
        return z->avail_in == 0 ? 0 : -EBADMSG;
}

int iicp_gunzip(struct iicp_str bytes, size_t max, struct iicp_buf *out) {
        z_stream z = {};
        int r;

        if (bytes.n > UINT32_MAX || !iicp_is_gzip(bytes))
                return -EBADMSG;
        z.next_in = (Bytef *) (uintptr_t) bytes.p;
        z.avail_in = (uInt) bytes.n;
        if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
                return -ENOMEM;
        r = inflate_all(&z, max, out);
        inflateEnd(&z);
        return r;
}

int iicp_gzip(struct iicp_str bytes, struct iicp_buf *out) {
        z_stream z = {};
        size_t bound;
        char *to;
        int r;

        if (bytes.n > UINT32_MAX / 2)
                return -E2BIG;
        if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_ONLY, 8, Z_DEFAULT_STRATEGY) != Z_OK)
                return -ENOMEM;
        bound = deflateBound(&z, (uLong) bytes.n);
        to = iicp_buf_reserve(out, bound);
        if (!to) {
                deflateEnd(&z);
                return out->error;
        }
        z.next_in = (Bytef *) (uintptr_t) bytes.p;
        z.avail_in = (uInt) bytes.n;
        z.next_out = (Bytef *) to;
        z.avail_out = (uInt) bound;
        r = deflate(&z, Z_FINISH);
        out->n += bound - z.avail_out;
        out->p[out->n] = '\0';
        deflateEnd(&z);
        return r == Z_STREAM_END ? 0 : -ENOMEM;
}
