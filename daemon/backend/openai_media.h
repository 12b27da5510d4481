/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_BACKEND_OPENAI_MEDIA_H
#define IICPD_BACKEND_OPENAI_MEDIA_H

#include "send.h"

#define MEDIA_TYPE_MAX 96 /* bytes of a Content-Type with its boundary */

/* The multipart body of a transcription into c->body. false: no memory. */
bool media_form(struct backend_call *c, const struct backend_task *t, char content_type[MEDIA_TYPE_MAX]);
/* Keeps what the answer needs of the request. */
void media_note(struct backend_call *c, const struct backend_task *t);
/* false: the intent's answers are JSON, and nothing was judged. */
bool media_judge(struct backend_call *c, const struct fetch_answer *from, struct backend_answer *a);

#endif
