/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IICPD_CONFIG_TABLE_H
#define IICPD_CONFIG_TABLE_H

/* The table of keys and what can be done with one value. Private to config_*.c; everybody else sees
 * struct config. A new key is one row of config_table.c and one member of struct config. */

#include "config.h"
#include "edit_distance.h"

enum config_kind {
        KIND_TEXT,     /* char * */
        KIND_LIST,     /* char **, NULL-terminated */
        KIND_BOOL,     /* bool */
        KIND_NUMBER,   /* unsigned */
        KIND_DURATION, /* uint64_t, milliseconds */
        KIND_SIZE,     /* uint64_t, bytes */
        KIND_CHOICE,   /* int */
        KIND_SECRET,   /* struct secret */
        KIND_WINDOWS,  /* the windows of struct config; may repeat */
};

enum config_live { LIVE_NO, LIVE_YES, LIVE_REGISTERS };

/* How an environment value is spelled, where that is not as in the file. */
enum config_env_form { ENV_AS_FILE, ENV_INVERTED /* 1 = no */, ENV_SWITCH /* 0 = no, 1 = auto */,
                       ENV_OFF /* 1 = no, 0 = auto */,
                       ENV_REQUIRED /* 1 = required, 0 = soft */,
                       ENV_YES_NO, ENV_MS, ENV_S,
                       ENV_YES_NO_WORD /* 1 = yes, 0 = no, else the word */,
                       ENV_LOOSE_WORD /* any case, _ or nothing for - */ };

struct config_choice {
        const char *word;
        int value;
};

/* What is wrong with a value, and where in it. */
struct config_fault {
        size_t at, n;
        char text[320];
        char hint[240];
};

struct config_key {
        const char *section, *name;
        enum config_kind kind;
        size_t offset;               /* in struct config, or struct config_backend */
        uint64_t min, max;           /* of number and duration; text: longest */
        const char *zero;            /* word that is stored as 0 ("auto"), or NULL */
        const struct config_choice *choices;
        /* Checks one text (each item of a list); may hand back another spelling to store. */
        bool (*check)(const char *text, struct config_fault *f, char **ret_instead);
        const char *initial;         /* parsed first; NULL = nothing */
        const char *initial_text;    /* as documented, NULL = initial */
        const char *environment[3];
        enum config_env_form environment_form;
        bool environment_forgiven;   /* a malformed value there is a warning [04 section 16] */
        const char *credential;      /* taken if the service manager passes it */
        enum config_live live;
        bool consumer;               /* its environment names are read by iicp only */
        const char *type, *help;     /* for the documentation */
};

struct config_section {
        const char *name;
        const char *help;
        bool consumer; /* iicp sees it */
        bool built;
};

/* A name of the contract that stands in the environment without a key of ours. */
enum config_foreign { FOREIGN_IGNORED, FOREIGN_WARNED, FOREIGN_REFUSED, FOREIGN_NOT_BUILT };
struct config_foreign_name {
        const char *name; /* a trailing '*' matches the rest */
        enum config_foreign what;
        const char *why;
};

extern const struct config_key config_keys[];
extern const size_t config_n_keys;
extern const struct config_section config_sections[];
extern const size_t config_n_sections;
extern const char *const config_not_built[]; /* "section.key", NULL-terminated */
extern const struct config_foreign_name config_foreign_names[];
extern const size_t config_n_foreign_names;

enum config_from { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_OPTION };
struct config_origin {
        enum config_from from;
        char *name;          /* file or variable */
        unsigned line, column;
        char *over;          /* what it overrides, for --print-config; NULL = nothing */
};

bool key_of_backend(const struct config_key *k);
/* Where the value of a key is; b is looked at for backend keys only. */
void *key_place(const struct config_key *k, struct config *c, struct config_backend *b);
const void *key_value(const struct config_key *k, const struct config *c, const struct config_backend *b);
struct config_origin *key_origin(const struct config_key *k, struct config *c, struct config_backend *b);
const struct config_key *key_find(const char *section, const char *name);
void origin_clear(struct config_origin *o);

/* Parses text and replaces the value at place. c is needed for KIND_WINDOWS. */
bool value_parse(const struct config_key *k, const char *text, void *place, struct config *c,
                 struct config_fault *f);
void value_print(const struct config_key *k, const void *place, const struct config *c,
                 struct iicp_buf *out);
void value_clear(const struct config_key *k, void *place);
int value_copy(const struct config_key *k, const void *from, void *to);
/* Allowed values in a few words: "1-65536", "auto/no". Empty if there is nothing to say. */
void value_range(const struct config_key *k, struct iicp_buf *out);
/* SDK spelling of an environment value into that of the file; false if it has none. */
bool value_from_environment(const struct config_key *k, const char *text, struct iicp_buf *out);
void duration_print(uint64_t ms, struct iicp_buf *out);
void size_print(uint64_t bytes, struct iicp_buf *out);

/* Secrets (config_secret.c). Returns false with a text that names the reference, never the value. */
bool secret_ref_valid(const char *ref);
const char *environment_get(char *const *environ_, const char *name);

/* Problems (config_problem.c). raw is the line, mark its columns from 1; raw NULL: no excerpt. */
struct problem_place {
        const char *where;
        unsigned rank, line, column;
        const char *raw;
        size_t mark; /* length of what is wrong */
        const char *hint;
        const char *hide; /* key whose value must not be shown, or NULL */
};
void problem_add(struct config_problems *p, enum config_severity severity,
                 const struct problem_place *place, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
void problems_sort(struct config_problems *p);

/* Rules between keys, and defaults that depend on others (config_check.c). */
void config_derive(struct config *c, const struct config_source *source);
void config_check(const struct config *c, const struct config_source *source, struct config_problems *p);
/* After the secrets were read: certificate and key of the task port fit, callers can show their tokens. */
void config_check_secrets(const struct config *c, const struct config_source *source, struct config_problems *p);

#endif
