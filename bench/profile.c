/* A QEMU TCG plugin that says where instructions are executed: between the first two marker instructions (see count.c) it
 * counts every guest address by itself, then writes "AT <address> <count>" lines to the file of its argument out=FILE.
 * profile.py turns addresses into functions. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb*));
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn*, void (*)(unsigned, void*), int, void*);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn*, int, void*, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn*);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn*);
__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct place {
    struct place* next;
    uint64_t address, count;
};
static struct place* buckets[1 << 16];
static const char* out = "profile";
static unsigned marks, first = 1;

static struct place* at(uint64_t address) {
    struct place** bucket = &buckets[(address >> 1) & 0xffff];
    for (struct place* p = *bucket; p; p = p->next)
        if (p->address == address) return p;
    struct place* p = calloc(1, sizeof *p);
    p->address = address, p->next = *bucket;
    return *bucket = p;
}

static void mark(unsigned cpu, void* unused) {
    (void)cpu, (void)unused;
    const unsigned n = ++marks;
    FILE* file = n == first + 1 ? fopen(out, "w") : NULL;
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++)
        for (struct place* p = buckets[i]; p; p = p->next) {
            if (file && p->count) fprintf(file, "AT %" PRIx64 " %" PRIu64 "\n", p->address, p->count);
            p->count = 0;
        }
    if (file) fclose(file);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    static const unsigned char x86[3] = {0x66, 0x87, 0xdb}, arm[4] = {0xdf, 0x2f, 0x03, 0xd5};
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
        const size_t size = qemu_plugin_insn_size(insn);
        const void* bytes = qemu_plugin_insn_data(insn);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &at(qemu_plugin_insn_vaddr(insn))->count, 1);
        if ((size == 3 && !memcmp(bytes, x86, 3)) || (size == 4 && !memcmp(bytes, arm, 4)))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, NULL);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                                                                char** argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
        if (!strncmp(argv[i], "first=", 6)) first = (unsigned)atoi(argv[i] + 6);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
