/* opens PATH COUNT: CPU time of opening and closing a file, in ns for each. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    long times = atol(arguments[2]);
    double begin = cpu_ns();
    for (long time = 0; time < times; time += 1) {
        int fd = open(arguments[1], O_RDONLY);
        if (fd < 0) return 1;
        close(fd);
    }
    printf("%.1f\n", (cpu_ns() - begin) / (double)times);
    return 0;
}
