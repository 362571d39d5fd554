/* The spiking network ${name}. Takes ${input}. */
${includes}
