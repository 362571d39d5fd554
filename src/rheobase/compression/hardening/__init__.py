"""`harden`: fold batch-norm and scales, and put thresholds, biases and membranes on the integer lattice.

A weighted layer with integer weights `w` of unit `u_c`, batch-norm `y = g_c*x + h_c`, input unit `s_in` and a neuron with input
gain `q` receives the current

    I_c = U_c * a_c + B_c,    a_c = sum w*x (an integer),    U_c = q*g_c*u_c*s_in,    B_c = q*h_c

Dividing the neuron's equation by `|U_c|` and multiplying by `2^F` leaves integers:

    v' = v * 2^F/|U_c|,   theta_c = ceil(theta * 2^F/|U_c|),   b_c = round(B_c * 2^F/|U_c|),   current a_c << F

a negative `U_c` turns the sign of the row. A neuron with a rounded membrane has one unit for all channels, as its levels are
those of all channels; there `U_c` becomes an integer factor, which may be negative.

The model's graph is followed from the input on. Every value on the way is integers that stand for floats by channel,

    float = unit * integer + offset

Batch-norm and average pooling change what the integers stand for. Spikes and counts of one unit are added as they are; any
other values that are added become currents in one unit for all channels (`LatticeRescale`), and so does a current that a layer
with weights reads, or a neuron where rows cannot be turned for it alone. A layer with two inputs multiplies what they stand
for: without offsets, and with one unit for all channels that it sums. A neuron that fires integers without a membrane becomes
the thresholds that its integers lie between, in whatever unit they are, so that nothing is rounded. How units, thresholds and
widths are chosen: `fitting`.

`harden.py` walks the graph, `builder.py` holds what has become of it, and the other files say what each kind of layer becomes.

Source: the folding is standard practice for integer networks.
"""

from rheobase.compression.hardening.harden import harden

__all__ = ["harden"]
