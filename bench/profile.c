/* A QEMU TCG plugin that says where instructions are executed: between the first two marker instructions (see count.c) it
 * counts every guest address by itself, then writes "AT <address> <count>" lines to the file of its argument out=FILE.
 * profile.py turns addresses into functions. */
#include "plugin.h"

#include <stdlib.h>

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
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &at(qemu_plugin_insn_vaddr(insn))->count, 1);
        if (is_mark(insn)) qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, NULL);
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
