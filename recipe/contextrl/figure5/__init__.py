"""The miniature figure 5: selection accuracy against task score, five methods, one small model, a CPU."""
