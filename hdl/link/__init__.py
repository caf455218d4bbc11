"""The host link: frames over a UART, images, weights from flash."""
