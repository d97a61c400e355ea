/*
 * Sends frames through a monitor interface, as any program that injects does: inject INTERFACE FILE.
 * The file is a sequence of records, each a 16-bit little-endian length and that many bytes, a radiotap header
 * with the frame behind it.
 */
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static unsigned char record[65536];
    unsigned char head[2];
    unsigned sent = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: inject INTERFACE FILE\n");
        return 2;
    }
    FILE *file = fopen(argv[2], "rb");
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = if_nametoindex(argv[1]),
    };
    if (!file || fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("inject");
        return 1;
    }
    while (fread(head, 1, 2, file) == 2) {
        size_t length = head[0] | head[1] << 8;
        if (fread(record, 1, length, file) != length) {
            fprintf(stderr, "inject: the file is truncated\n");
            return 1;
        }
        while (send(fd, record, length, 0) < 0) {
            if (errno != ENOBUFS && errno != EINTR) {
                perror("inject: send");
                return 1;
            }
            usleep(1000);
        }
        sent++;
    }
    printf("inject: %u frames\n", sent);
    return 0;
}
