/* Reads a file from a web server on loopback by ranges, with as many threads and connections as asked for.
 * ranged-read PORT PATH SIZE_BYTES CHUNK_BYTES CONNECTIONS FILE|-     (-: into memory, touched before)
 * Prints the seconds it took, connecting included. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 64, BUFFER_BYTES = 1 << 20, HEAD_BYTES = 16384 };

static int port, file = -1;
static const char *path;
static long size, chunk;
static char *memory;
static atomic_long next_offset;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static long some(int connection, char *buffer, long bytes) {
  long count = recv(connection, buffer, bytes, 0);
  if (count <= 0) die("recv");
  return count;
}

static void put(const char *bytes, long count, long offset) {
  if (memory) memcpy(memory + offset, bytes, count);
  else if (pwrite(file, bytes, count, offset) != count) die("pwrite");
}

static void read_range(int connection, char *buffer, long offset, long length) {
  int asked = snprintf(buffer, HEAD_BYTES, "GET %s HTTP/1.1\r\nHost: localhost\r\nRange: bytes=%ld-%ld\r\n\r\n", path,
                       offset, offset + length - 1);
  if (write(connection, buffer, asked) != asked) die("write");
  long have = 0;
  char *body;
  do {
    have += some(connection, buffer + have, HEAD_BYTES - 1 - have);
    buffer[have] = 0;
  } while (!(body = strstr(buffer, "\r\n\r\n")));
  body += 4;
  if (strncmp(buffer, "HTTP/1.1 206", 12) != 0) die("no part");
  long done = have - (body - buffer);
  put(body, done, offset);
  while (done < length) {
    long most = length - done < BUFFER_BYTES ? length - done : BUFFER_BYTES;
    long count = some(connection, memory ? memory + offset + done : buffer, most);
    if (!memory) put(buffer, count, offset + done);
    done += count;
  }
}

static void *work(void *unused) {
  int connection = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connection, (struct sockaddr *)&server, sizeof server)) die("connect");
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char *buffer = malloc(BUFFER_BYTES);
  for (long offset; (offset = atomic_fetch_add(&next_offset, chunk)) < size;)
    read_range(connection, buffer, offset, size - offset < chunk ? size - offset : chunk);
  close(connection);
  return unused;
}

int main(int count, char **given) {
  if (count != 7) return 2;
  port = atoi(given[1]), path = given[2], size = atol(given[3]), chunk = atol(given[4]);
  int connections = atoi(given[5]);
  if (connections > MAX_CONNECTIONS) return 2;
  if (strcmp(given[6], "-") == 0) memory = memset(malloc(size), 1, size);
  else if ((file = open(given[6], O_CREAT | O_TRUNC | O_WRONLY, 0600)) < 0 || ftruncate(file, size)) die("open");
  pthread_t threads[MAX_CONNECTIONS];
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (int index = 0; index < connections; index += 1) pthread_create(threads + index, 0, work, 0);
  for (int index = 0; index < connections; index += 1) pthread_join(threads[index], 0);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  printf("%.6f\n", ended.tv_sec - began.tv_sec + (ended.tv_nsec - began.tv_nsec) / 1e9);
}
