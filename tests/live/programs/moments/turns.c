// Healthy: two threads take turns, each wakes the other.
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static intptr_t turn;

static void* take_turns(void* mine) {
  for (;;) {
    pthread_mutex_lock(&lock);
    while (turn != (intptr_t)mine) pthread_cond_wait(&changed, &lock);
    turn = !turn;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[2];
  for (intptr_t i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, take_turns, (void*)i);
  usleep(200000);
  pthread_kill(threads[0], SIGUSR1);
  for (;;) pause();
}
