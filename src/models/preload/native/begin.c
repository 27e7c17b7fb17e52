/* What happens before main. */
#include "preload.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A variable that is set to something, or NULL. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? NULL : value;
}

int find_beside(const char *relative, char path[PATH_MAX]) {
    Dl_info self;
    char real[PATH_MAX], candidate[2 * PATH_MAX];
    if (dladdr((void *)&place, &self) == 0 || realpath(self.dli_fname, real) == NULL) return 0;
    *strrchr(real, '/') = '\0';
    snprintf(candidate, sizeof candidate, "%s/%s", real, relative);
    return realpath(candidate, path) != NULL;
}

__attribute__((constructor)) static void begin(void) {
    find_real_opens();
    find_real_execs();
    const char *enabled = variable("ENABLE_CONNECTOR");
    if (enabled != NULL && strcmp(enabled, "1") == 0 && variable(SOCKET_VARIABLE) == NULL) start_loader();
    char folder[PATH_MAX];
    const char *dirs = variable(DIRS_VARIABLE), *model_dir = variable("MODEL_DIR");
    if (dirs == NULL && model_dir != NULL) dirs = realpath(model_dir, folder);
    set_place(variable(SOCKET_VARIABLE), dirs, variable(PATIENCE_VARIABLE));
    if (place.server.sun_path[0] != '\0') say_hello();
    is_active = place.server.sun_path[0] != '\0' || place.dirs[0] != '\0';
}
